"""Tables of the sensors that xeo knows: bands, wavelengths, pixel sizes, scales.

Wavelengths are in micrometres, pixel sizes in metres. Names follow the common names of the
STAC ``eo`` extension where it has one; the rest carry the producer's own. A band is found by
its name, its label, or an alias: `xeo.bands` does the looking up.

References
----------
.. [1] STAC Electro-Optical extension 2.0, common band names.
   https://github.com/stac-extensions/eo
.. [2] ESA, Sentinel-2 MSI spectral responses, S2A columns (COPE-GSEG-EOPG-TN-15-0007).
   https://sentiwiki.copernicus.eu/web/s2-mission
.. [3] ESA, Sentinel-2 Products Specification Document, S2-PDGS-TAS-DI-PSD: quantification value
   10000, and BOA_ADD_OFFSET or RADIO_ADD_OFFSET -1000 from processing baseline 04.00 on.
.. [4] Barsi, J. et al. (2014). The Spectral Response of the Landsat-8 Operational Land Imager.
   *Remote Sensing* 6. doi:10.3390/rs61010232. Thermal bands: USGS, Landsat 8 Data Users Handbook.
.. [5] USGS, Landsat 8-9 Collection 2 Level 2 Science Product Guide, LSDS-1619: scale, offset, fill.
.. [6] Claverie, M. et al. (2018). The Harmonized Landsat and Sentinel-2 surface reflectance data
   set. doi:10.1016/j.rse.2018.09.002. Layers and scales: NASA LP DAAC, HLS User Guide 2.0.
.. [7] NASA LP DAAC, MOD09 v6.1 (doi:10.5067/MODIS/MOD09GA.061) and MCD43A4 v6.1
   (doi:10.5067/MODIS/MCD43A4.061) user guides.
.. [8] Planet, PlanetScope Product Specifications: instruments PS2 and PSB.SD.
   https://docs.planet.com/data/imagery/planetscope/
.. [9] USDA FSA, National Agriculture Imagery Program; passbands of its Leica ADS100 cameras.
.. [10] ESA, Sentinel-3 OLCI: 21 bands, nominal. https://sentiwiki.copernicus.eu/web/s3-olci-instrument
.. [11] DLR, EnMAP Product Specification, EN-PCV-ICD-2009-2: 420 to 2450 nm. The centre of each band
   is in each product's metadata, as it drifts.
.. [12] Hersbach, H. et al. (2020). The ERA5 global reanalysis. doi:10.1002/qj.3803
.. [13] Copernicus Climate Change Service (2020). Agrometeorological indicators from 1979 to present
   derived from reanalysis. doi:10.24381/cds.6c68c9bb
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from xeo.errors import OptionError

#: Common names of STAC ``eo`` 2.0 and the wavelengths they cover, in micrometres.
COMMON_NAMES: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "pan": (0.40, 1.00),
        "coastal": (0.40, 0.45),
        "blue": (0.45, 0.53),
        "green05": (0.51, 0.55),
        "green": (0.51, 0.60),
        "yellow": (0.58, 0.62),
        "red": (0.62, 0.69),
        "rededge071": (0.69, 0.73),
        "rededge075": (0.73, 0.76),
        "rededge078": (0.76, 0.79),
        "nir": (0.76, 1.00),
        "nir08": (0.80, 0.90),
        "nir09": (0.90, 1.00),
        "cirrus": (1.35, 1.40),
        "swir16": (1.55, 1.75),
        "swir22": (2.08, 2.35),
        "lwir11": (10.5, 11.5),
        "lwir12": (11.5, 12.5),
    }
)


def _check(what: str, value: float | None, low: float, high: float, unit: str) -> None:
    if value is not None and not low <= value <= high:
        raise OptionError(
            f"expected {what} in {unit}, between {low:g} and {high:g}, got {value:g}. "
            f"Try: give it in {unit}"
        )


@dataclass(frozen=True)
class Band:
    """One band of a sensor, or one variable of a data set that comes without wavelengths.

    Parameters
    ----------
    name : str
        Canonical name: the STAC ``eo`` common name, else lower-case words.
    label : str
        What the producer calls it, ``"B02"``.
    center_wavelength, full_width_half_max : float, optional
        In micrometres; None where there is none (radar, weather, terrain).
    gsd : float, optional
        Native pixel size in metres; None where it varies.
    aliases : tuple of str
        Other labels, however written: case, leading zeros and separators do not matter.
    units : str, optional
        Of the decoded values; None: those of the sensor.
    scale, offset : float, optional
        ``stored * scale + offset`` gives ``units``; None: those of the sensor.

    Raises
    ------
    OptionError
        If a number can only be in another unit (nanometres, degrees).
    """

    name: str
    label: str
    center_wavelength: float | None
    full_width_half_max: float | None
    gsd: float | None
    aliases: tuple[str, ...] = ()
    units: str | None = None
    scale: float | None = None
    offset: float | None = None

    def __post_init__(self) -> None:
        _check("center_wavelength", self.center_wavelength, 0.1, 100.0, "micrometres")
        _check("full_width_half_max", self.full_width_half_max, 0.0001, 5.0, "micrometres")
        _check("gsd", self.gsd, 0.01, 1e6, "metres")


@dataclass(frozen=True)
class Sensor:
    """A product: bands as they are stored, and what to do to get physical values.

    Parameters
    ----------
    name, family, title : str
        ``name`` is unique; ``family`` is the modality that models ask for.
    bands : tuple of Band
        In the producer's order.
    units : str or None
        Of the values after ``stored * scale + offset``; None where products differ and only
        the cube's attributes or the user can tell.
    scale, offset : float
        Of the stored numbers.
    nodata : float or None
        The stored number that means missing; None where products differ.
    hints : tuple of str
        Words that name the sensor in free text, alternatives split by ``|``. The first entry
        must be there; each other one that is adds weight.
    aliases : tuple of str
        Other names that users give to `xeo.bands.sensor`.
    affixes : tuple of str
        Words around a label that say nothing about the band, ``"S2_L2A_"``, ``"_10m"``.
    quality : tuple of str
        Labels of its quality layers.
    note : str
        What else one must know.
    """

    name: str
    family: str
    title: str
    bands: tuple[Band, ...]
    units: str | None
    scale: float
    offset: float
    nodata: float | None
    hints: tuple[str, ...]
    aliases: tuple[str, ...] = ()
    affixes: tuple[str, ...] = ()
    quality: tuple[str, ...] = ()
    note: str = ""


def _optical(*rows: tuple[str, str, float, float, float, str]) -> tuple[Band, ...]:
    """Make bands of rows: name, label, centre, width (both nanometres), gsd, aliases."""
    return tuple(
        Band(name, label, round(center / 1e3, 6), round(width / 1e3, 6), gsd, tuple(more.split()))
        for name, label, center, width, gsd, more in rows
    )


def _plain(*rows: tuple[str, str, str | None, str], gsd: float | None) -> tuple[Band, ...]:
    """Make bands without wavelengths of rows: name, label, units, aliases."""
    return tuple(
        Band(name, label, None, None, gsd, tuple(more.split()), units=units)
        for name, label, units, more in rows
    )


_MSI = _optical(
    ("coastal", "B01", 442.7, 21, 60, "coastal_aerosol aerosol aerosols"),
    ("blue", "B02", 492.4, 66, 10, ""),
    ("green", "B03", 559.8, 36, 10, ""),
    ("red", "B04", 664.6, 31, 10, ""),
    ("rededge071", "B05", 704.1, 15, 20, "rededge1 red_edge1 re1 vegetation_red_edge_1"),
    ("rededge075", "B06", 740.5, 15, 20, "rededge2 red_edge2 re2 vegetation_red_edge_2"),
    ("rededge078", "B07", 782.8, 20, 20, "rededge3 red_edge3 re3 vegetation_red_edge_3"),
    ("nir", "B08", 832.8, 106, 10, "nir1 nir_broad"),
    ("nir08", "B8A", 864.7, 21, 20, "nir2 nir_narrow narrow_nir rededge4 red_edge4"),
    ("nir09", "B09", 945.1, 20, 60, "water_vapour water_vapor"),
    ("cirrus", "B10", 1373.5, 31, 60, ""),
    ("swir16", "B11", 1613.7, 91, 20, "swir1"),
    ("swir22", "B12", 2202.4, 175, 20, "swir2"),
)
_MSI_AFFIXES = ("s2", "s2a", "s2b", "s2c", "sentinel2", "sentinel_2", "msi", "10m", "20m", "60m")
_BASELINE = (
    "Products of processing baseline 04.00 and later (operations since 2022-01-25, and the "
    "reprocessed Collection 1) hold 1000 DN too much: subtract it. The HARMONIZED collections of "
    "Google Earth Engine, and Earth Search and CDSE data that were harmonised on the way, have "
    "it removed already."
)
_OLI = _optical(
    ("coastal", "B1", 442.96, 15.98, 30, "coastal_aerosol"),
    ("blue", "B2", 482.04, 60.04, 30, ""),
    ("green", "B3", 561.41, 57.33, 30, ""),
    ("red", "B4", 654.59, 37.47, 30, ""),
    ("nir08", "B5", 864.67, 28.25, 30, "nir nir_narrow"),
    ("swir16", "B6", 1608.86, 84.72, 30, "swir1"),
    ("swir22", "B7", 2200.73, 186.66, 30, "swir2"),
)
_CIRRUS_OLI = _optical(("cirrus", "B9", 1373.43, 20.39, 30, ""))


def _thermal(gsd: float, units: str, scale: float, offset: float) -> tuple[Band, ...]:
    rows = (("lwir11", "B10", 10.895, 0.59, "tirs1"), ("lwir12", "B11", 12.005, 1.01, "tirs2"))
    return tuple(
        Band(
            name, label, center, width, gsd, (more, f"{name[:4]}_{name[4:]}"), units, scale, offset
        )
        for name, label, center, width, more in rows
    )


_MODIS = _optical(
    ("red", "sur_refl_b01", 645.0, 50, 250, "Nadir_Reflectance_Band1"),
    ("nir", "sur_refl_b02", 858.5, 35, 250, "nir08 Nadir_Reflectance_Band2"),
    ("blue", "sur_refl_b03", 469.0, 20, 500, "Nadir_Reflectance_Band3"),
    ("green", "sur_refl_b04", 555.0, 20, 500, "Nadir_Reflectance_Band4"),
    ("swir12", "sur_refl_b05", 1240.0, 20, 500, "Nadir_Reflectance_Band5"),
    ("swir16", "sur_refl_b06", 1640.0, 24, 500, "swir1 Nadir_Reflectance_Band6"),
    ("swir22", "sur_refl_b07", 2130.0, 50, 500, "swir2 Nadir_Reflectance_Band7"),
)
_OLCI = _optical(
    ("oa01", "Oa01", 400.0, 15, 300, ""),
    ("oa02", "Oa02", 412.5, 10, 300, ""),
    ("coastal", "Oa03", 442.5, 10, 300, ""),
    ("blue", "Oa04", 490.0, 10, 300, ""),
    ("green05", "Oa05", 510.0, 10, 300, ""),
    ("green", "Oa06", 560.0, 10, 300, ""),
    ("yellow", "Oa07", 620.0, 10, 300, ""),
    ("red", "Oa08", 665.0, 10, 300, ""),
    ("oa09", "Oa09", 673.75, 7.5, 300, ""),
    ("oa10", "Oa10", 681.25, 7.5, 300, ""),
    ("rededge071", "Oa11", 708.75, 10, 300, ""),
    ("rededge075", "Oa12", 753.75, 7.5, 300, ""),
    ("oa13", "Oa13", 761.25, 2.5, 300, ""),
    ("oa14", "Oa14", 764.375, 3.75, 300, ""),
    ("oa15", "Oa15", 767.5, 2.5, 300, ""),
    ("rededge078", "Oa16", 778.75, 15, 300, ""),
    ("nir08", "Oa17", 865.0, 20, 300, "nir"),
    ("oa18", "Oa18", 885.0, 10, 300, ""),
    ("oa19", "Oa19", 900.0, 10, 300, ""),
    ("nir09", "Oa20", 940.0, 20, 300, ""),
    ("oa21", "Oa21", 1020.0, 40, 300, ""),
)
_SAR = _plain(
    ("vv", "VV", None, ""),
    ("vh", "VH", None, ""),
    ("hh", "HH", None, ""),
    ("hv", "HV", None, ""),
    gsd=10,
)
_SAR_AFFIXES = (
    "s1", "s1a", "s1b", "s1c", "sentinel1", "sentinel_1", "grd", "rtc", "iw", "db", "linear",
    "sigma0", "gamma0_rtc", "gamma0", "beta0", "sigma_nought", "gamma_nought", "amplitude",
    "asc", "desc", "ascending", "descending",
)  # fmt: skip

_ALL: tuple[Sensor, ...] = (
    Sensor(
        "sentinel2_l2a", "sentinel2", "Sentinel-2 MSI, surface reflectance",
        tuple(band for band in _MSI if band.name != "cirrus"), "reflectance", 1e-4, 0.0, 0,
        ("sentinel 2|sentinel2|s2|s2a|s2b|s2c|sentinel 2a|sentinel 2b|sentinel 2c|msil2a",
         "l2a|level 2a|msil2a|s2msi2a|s2 sr|surface reflectance|boa|bottom of atmosphere"),
        aliases=("s2", "sentinel2", "sentinel-2", "S2_L2A", "sentinel-2-l2a", "sentinel-2-c1-l2a",
                 "COPERNICUS/S2_SR", "COPERNICUS/S2_SR_HARMONIZED", "SENTINEL2_L2A", "s2-l2a"),
        affixes=(*_MSI_AFFIXES, "l2a", "boa"), quality=("SCL", "WVP", "AOT"), note=_BASELINE,
    ),
    Sensor(
        "sentinel2_l1c", "sentinel2", "Sentinel-2 MSI, top-of-atmosphere reflectance",
        _MSI, "reflectance", 1e-4, 0.0, 0,
        ("sentinel 2|sentinel2|s2|s2a|s2b|s2c|sentinel 2a|sentinel 2b|sentinel 2c|msil1c",
         "l1c|level 1c|msil1c|s2msi1c|toa|top of atmosphere"),
        aliases=("S2_L1C", "sentinel-2-l1c", "COPERNICUS/S2", "COPERNICUS/S2_HARMONIZED"),
        affixes=(*_MSI_AFFIXES, "l1c", "toa"), quality=("QA60", "MSK_CLASSI"), note=_BASELINE,
    ),
    Sensor(
        "landsat_c2l2", "landsat", "Landsat 8-9 OLI and TIRS, Collection 2 Level 2",
        _OLI + _thermal(100, "kelvin", 0.00341802, 149.0), "reflectance", 2.75e-5, -0.2, 0,
        ("landsat|landsat8|landsat9|lc08|lc09|l8|l9|oli",
         "c2 l2|c2l2|collection 2|level 2|l2sp|surface reflectance|sr"),
        aliases=("landsat", "landsat8", "landsat9", "landsat-8", "landsat-9", "landsat8_c2l2",
                 "landsat9_c2l2", "landsat-c2-l2", "LANDSAT/LC08/C02/T1_L2",
                 "LANDSAT/LC09/C02/T1_L2"),
        affixes=("sr", "st", "l8", "l9", "lc08", "lc09", "landsat", "landsat8", "landsat9"),
        quality=("qa_pixel", "pixel_qa", "qa_radsat", "sr_qa_aerosol"),
        note="Collection 1 surface reflectance has scale 1e-4 and offset 0 instead. Landsat 4 to 7 "
        "number their bands differently and are not covered.",
    ),
    Sensor(
        "hls_s30", "hls", "Harmonized Landsat Sentinel-2, S30 (Sentinel-2)",
        _MSI, "reflectance", 1e-4, 0.0, -9999, ("hls|harmonized landsat sentinel 2", "s30|hlss30"),
        aliases=("HLSS30", "HLS-S30", "HLSS30_2.0", "HLS.S30", "hls2-s30", "NASA/HLS/HLSS30/v002"),
        affixes=("hls", "s30", "hlss30"), quality=("Fmask",),
    ),
    Sensor(
        "hls_l30", "hls", "Harmonized Landsat Sentinel-2, L30 (Landsat)",
        _OLI + _CIRRUS_OLI + _thermal(30, "celsius", 0.01, 0.0), "reflectance", 1e-4, 0.0, -9999,
        ("hls|harmonized landsat sentinel 2", "l30|hlsl30"),
        aliases=("HLSL30", "HLS-L30", "HLSL30_2.0", "HLS.L30", "hls2-l30", "NASA/HLS/HLSL30/v002"),
        affixes=("hls", "l30", "hlsl30"), quality=("Fmask",),
    ),
    Sensor(
        "sentinel1_grd", "sentinel1", "Sentinel-1 SAR, ground range detected",
        _SAR, None, 1.0, 0.0, None,
        ("sentinel 1|sentinel1|s1|s1a|s1b|s1c|sentinel 1a|sentinel 1b", "grd|grdh|sigma0"),
        aliases=("s1", "sentinel1", "sentinel-1", "sentinel-1-grd", "S1_GRD", "COPERNICUS/S1_GRD"),
        affixes=_SAR_AFFIXES, quality=("angle", "local_incidence_angle"),
        note="Google Earth Engine serves it in dB, openEO and Sentinel Hub as linear power, the "
        "original product as uncalibrated amplitude: the cube's attributes or the user must say.",
    ),
    Sensor(
        "sentinel1_rtc", "sentinel1", "Sentinel-1 SAR, radiometrically terrain corrected gamma0",
        _SAR, "power", 1.0, 0.0, None,
        ("sentinel 1|sentinel1|s1|s1a|s1b|s1c|sentinel 1a|sentinel 1b",
         "rtc|gamma0|terrain corrected"),
        aliases=("sentinel-1-rtc", "S1_RTC"), affixes=_SAR_AFFIXES,
        note="The Planetary Computer serves linear power with -32768 for missing.",
    ),
    Sensor(
        "modis_mod09", "modis", "MODIS surface reflectance (MOD09, MYD09)",
        _MODIS, "reflectance", 1e-4, 0.0, -28672,
        ("modis|mod09|myd09|terra|aqua|sur refl",
         "mod09|myd09|mod09ga|mod09a1|myd09ga|myd09a1|sur refl"),
        aliases=("modis", "mod09", "myd09", "MOD09GA", "MOD09A1", "MYD09GA", "MODIS/061/MOD09GA",
                 "MODIS/061/MOD09A1", "modis-09A1-061"),
        affixes=("modis", "mod09", "myd09"),
        quality=("state_1km", "StateQA", "QC_500m"),
    ),
    Sensor(
        "modis_mcd43", "modis", "MODIS nadir BRDF-adjusted reflectance (MCD43A4)",
        _MODIS, "reflectance", 1e-4, 0.0, 32767,
        ("modis|mcd43|mcd43a4|nbar|nadir reflectance", "mcd43|mcd43a4|nbar|nadir reflectance"),
        aliases=("mcd43", "MCD43A4", "MODIS/061/MCD43A4", "modis-43A4-061"),
        affixes=("modis", "mcd43", "mcd43a4"),
    ),
    Sensor(
        "planetscope_8b", "planetscope", "PlanetScope SuperDove, eight bands",
        _optical(
            ("coastal", "coastal_blue", 443, 20, 3.0, ""),
            ("blue", "blue", 490, 50, 3.0, ""),
            ("green05", "green_i", 531, 36, 3.0, "green1"),
            ("green", "green", 565, 36, 3.0, "green_ii"),
            ("yellow", "yellow", 610, 20, 3.0, ""),
            ("red", "red", 665, 31, 3.0, ""),
            ("rededge071", "rededge", 705, 15, 3.0, "red_edge"),
            ("nir", "nir", 865, 40, 3.0, "nir08"),
        ),
        "reflectance", 1e-4, 0.0, 0,
        ("planetscope|planet|psscene|psb sd|superdove", "8b|8 band|psb sd|superdove"),
        aliases=("planetscope", "superdove", "planetscope-8b", "ortho_analytic_8b_sr"),
        affixes=("planet", "planetscope"), quality=("udm2",),
        note="Only the *_sr assets are reflectance; the others hold scaled radiance.",
    ),
    Sensor(
        "planetscope_4b", "planetscope", "PlanetScope Dove, four bands",
        _optical(
            ("blue", "blue", 485, 60, 3.7, ""), ("green", "green", 545, 90, 3.7, ""),
            ("red", "red", 630, 80, 3.7, ""), ("nir", "nir", 820, 80, 3.7, "nir08"),
        ),
        "reflectance", 1e-4, 0.0, 0,
        ("planetscope|planet|psscene|ps2|dove", "4b|4 band|ps2"),
        aliases=("planetscope-4b", "dove", "ortho_analytic_4b_sr"),
        affixes=("planet", "planetscope"), quality=("udm2",),
        note="Only the *_sr assets are reflectance; the others hold scaled radiance.",
    ),
    Sensor(
        "naip", "naip", "NAIP aerial imagery",
        _optical(
            ("red", "R", 635, 32, 0.6, ""), ("green", "G", 555, 60, 0.6, ""),
            ("blue", "B", 465, 60, 0.6, ""), ("nir", "N", 845, 74, 0.6, "nir08"),
        ),
        None, 1.0, 0.0, None, ("naip|national agriculture imagery program",),
        aliases=("USDA/NAIP/DOQQ",), affixes=("naip",),
        note="Uncalibrated counts from 0 to 255: no reflectance can be made of them.",
    ),
    Sensor(
        "sentinel3_olci", "sentinel3", "Sentinel-3 OLCI",
        _OLCI, None, 1.0, 0.0, None,
        ("sentinel 3|sentinel3|s3|s3a|s3b|olci", "olci|ol 1 efr|ol 2 lfr|ol 2 wfr"),
        aliases=("s3", "olci", "sentinel3", "sentinel-3-olci", "COPERNICUS/S3/OLCI"),
        affixes=("radiance", "reflectance", "toa", "s3", "olci"), quality=("quality_flags", "WQSF"),
        note="Level 1 holds radiance in mW m-2 sr-1 nm-1, Level 2 reflectance.",
    ),
    Sensor(
        "enmap", "enmap", "EnMAP, 224 bands from 0.420 to 2.450 micrometres",
        tuple(
            Band(f"enmap{i:03}", f"enmap_band_{i}", None, None, 30, (f"enmap_b{i}", f"enmap_{i}"))
            for i in range(1, 225)
        ),
        "reflectance", 1e-4, 0.0, -32768, ("enmap",), aliases=("enmap_l2a", "EnMAP HSI"),
        note="Wavelengths drift and stand in each product's metadata: select bands by their "
        "center_wavelength with `xeo.bands.pick_wavelengths`.",
    ),
    Sensor(
        "era5", "weather", "ERA5 and ERA5-Land reanalysis",
        _plain(
            ("temperature_2m", "t2m", "kelvin", "2m_temperature mean_2m_air_temperature"),
            ("temperature_2m_min", "mn2t", "kelvin", "minimum_2m_air_temperature"),
            ("temperature_2m_max", "mx2t", "kelvin", "maximum_2m_air_temperature"),
            ("dewpoint_temperature_2m", "d2m", "kelvin", "2m_dewpoint_temperature"),
            ("total_precipitation", "tp", "metre", "total_precipitation_sum"),
            ("surface_solar_radiation", "ssrd", "J m-2",
             "surface_solar_radiation_downwards surface_solar_radiation_downwards_sum"),
            ("u_component_of_wind_10m", "u10", "m s-1", "10m_u_component_of_wind"),
            ("v_component_of_wind_10m", "v10", "m s-1", "10m_v_component_of_wind"),
            ("surface_pressure", "sp", "Pa", ""),
            gsd=None,
        ),
        None, 1.0, 0.0, None, ("era5|era5 land|reanalysis era5|weather", "era5|era5 land"),
        aliases=("era5-land", "reanalysis-era5-land", "ECMWF/ERA5_LAND/MONTHLY_AGGR"),
        affixes=("era5_land", "era5"),
    ),
    Sensor(
        "agera5", "weather", "AgERA5 daily agrometeorological indicators",
        _plain(
            ("temperature_2m", "temperature_mean", "kelvin",
             "Temperature_Air_2m_Mean_24h 2m_temperature tmean"),
            ("temperature_2m_min", "temperature_min", "kelvin",
             "Temperature_Air_2m_Min_24h tmin"),
            ("temperature_2m_max", "temperature_max", "kelvin",
             "Temperature_Air_2m_Max_24h tmax"),
            ("dewpoint_temperature_2m", "dewpoint_temperature", "kelvin",
             "Dew_Point_Temperature_2m_Mean 2m_dewpoint_temperature dewp"),
            ("total_precipitation", "precipitation_flux", "mm", "precip prec precipitation"),
            ("surface_solar_radiation", "solar_radiation_flux", "J m-2", "srad"),
            ("vapour_pressure", "vapour_pressure", "hPa", "Vapour_Pressure_Mean vapour"),
            ("wind_speed_10m", "wind_speed", "m s-1", "Wind_Speed_10m_Mean_24h wind"),
            gsd=11132,
        ),
        None, 1.0, 0.0, None, ("agera5|weather", "agera5"),
        aliases=("sis-agrometeorological-indicators",), affixes=("agera5",),
    ),
    Sensor(
        "terrain", "terrain", "Elevation and slope",
        _plain(
            ("elevation", "elevation", "metre",
             "dem cop_dem copernicus_dem cop_dem_30 srtm nasadem altitude"),
            ("slope", "slope", "degree", ""),
            ("aspect", "aspect", "degree", ""),
            gsd=30,
        ),
        None, 1.0, 0.0, None, ("terrain|dem|srtm|nasadem|cop dem|elevation",),
        aliases=("dem", "cop_dem", "cop-dem-glo-30", "cop-dem-glo-90", "srtm", "nasadem"),
        affixes=("terrain",),
    ),
)  # fmt: skip

#: Every sensor that xeo knows, by name.
SENSORS: Mapping[str, Sensor] = MappingProxyType({found.name: found for found in _ALL})
