from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xeo import bands
from xeo.errors import BandError, OptionError, UnknownNameError

SENSORS = list(bands.SENSORS.values())
ALIASES = [
    (found, band, label)
    for found in SENSORS
    for band in found.bands
    for label in (band.name, band.label, *band.aliases)
]
FLANDERS_L8 = ["B02", "B03", "B04", "B05", "B06", "B07", "B10", "B11", "pixel_qa"]
WORLDCEREAL = [
    "S2-L2A-B02", "S2-L2A-B03", "S2-L2A-B04", "S2-L2A-B08", "S2-L2A-B11", "S1-SIGMA0-VH",
    "S1-SIGMA0-VV", "slope", "elevation", "AGERA5-PRECIP", "AGERA5-TMEAN",
]  # fmt: skip


def names(found: tuple[bands.Sensor, ...]) -> list[str]:
    return [one.name for one in found]


@given(
    st.sampled_from(ALIASES),
    st.sampled_from([str.upper, str.lower, str.title, str]),
    st.sampled_from(["", " ", "_", "-"]),
)
def test_every_alias_is_its_band_however_written(case, change, pad):
    found, band, label = case
    assert bands.canonical(pad + change(label) + pad, found) == band


@given(st.sampled_from(ALIASES), st.data())
def test_affixes_say_nothing(case, data):
    found, band, label = case
    affix = data.draw(st.sampled_from(found.affixes or ("",)))
    assert bands.canonical(f"{affix}_{label}".strip("_"), found) == band


@pytest.mark.parametrize("found", SENSORS, ids=lambda found: found.name)
def test_no_two_bands_claim_an_alias(found):
    claims: dict[str, set[str]] = {}
    for band in found.bands:
        for label in (band.name, band.label, *band.aliases):
            claims.setdefault(bands._key(label, found.affixes), set()).add(band.name)
    assert {key: who for key, who in claims.items() if len(who) > 1} == {}


def test_no_two_sensors_claim_a_name():
    claims = [bands._words(name) for one in SENSORS for name in {one.name, *one.aliases}]
    twice = {claim for claim in claims if claims.count(claim) > 1}
    same = {bands._words(one.name) for one in SENSORS}
    assert twice - same <= {"_s2_l2a_", "_sentinel_2_l2a_", "_hls_s30_", "_hls_l30_"}
    assert all(bands.sensor(name) is one for one in SENSORS for name in (one.name, *one.aliases))


@pytest.mark.parametrize("found", SENSORS, ids=lambda found: found.name)
def test_common_names_lie_in_their_range(found):
    for band in found.bands:
        # Landsat calls its narrow near infrared, at 865 nm, just NIR; PlanetScope 4 starts at 430.
        if band.name in bands.COMMON_NAMES and band.center_wavelength is not None:
            low, high = bands.COMMON_NAMES[band.name]
            assert low <= band.center_wavelength <= high, band


@pytest.mark.parametrize("label", ["B2", "B02", "b02", "s2_B02", "band_2", "Band 2", "blue", "BLUE",
                                   "S2-L2A-B02", "B02_10m"])  # fmt: skip
def test_many_ways_to_write_blue(label):
    band = bands.canonical(label, bands.sensor("s2"))
    assert band is not None
    assert (band.name, band.center_wavelength, band.full_width_half_max, band.gsd) == (
        "blue", 0.4924, 0.066, 10,
    )  # fmt: skip


def test_prefix_of_another_sensor_is_refused():
    assert bands.canonical("S2-L2A-B05", bands.sensor("landsat_c2l2")) is None
    assert bands.canonical("SR_B5", bands.sensor("sentinel2_l2a")) is None
    assert bands.canonical("", bands.sensor("s2")) is None
    assert bands.canonical("clear_B02", bands.sensor("s2")) is None


@pytest.mark.parametrize(
    ("labels", "hint", "expected"),
    [
        (["B02", "B03", "B04", "B08", "SCL"], "", ["sentinel2_l2a"]),
        (["B02", "B03", "B04", "B08"], "", ["sentinel2_l2a", "sentinel2_l1c", "hls_s30"]),
        (["B02", "B03", "B04", "B08"], "Sentinel-2 L1C 13-band pair, dubai", ["sentinel2_l1c"]),
        (["B02", "B8A", "Fmask"], "", ["hls_s30"]),
        (FLANDERS_L8, "", ["landsat_c2l2"]),
        (FLANDERS_L8[:-1], "Landsat-8 SR (resampled to 10 m), flanders_a", ["landsat_c2l2"]),
        (["SR_B2", "SR_B5", "ST_B10"], "", ["landsat_c2l2"]),
        (["VV", "VH"], "", ["sentinel1_grd", "sentinel1_rtc"]),
        (["VV", "VH"], "Sentinel-1 GRD ascending, flanders_a, 20 m", ["sentinel1_grd"]),
        (["Gamma0_VV_db"], "sentinel-1-rtc", ["sentinel1_rtc"]),
        (["red", "green", "blue", "nir"], "NAIP aerial imagery time series", ["naip"]),
        (["sur_refl_b01", "sur_refl_b02"], "", ["modis_mod09"]),
        (["Oa01_radiance", "Oa08_radiance"], "", ["sentinel3_olci"]),
        (["t2m"], "", ["era5"]),
        (["temperature_mean", "precipitation_flux", "vapour_pressure"], "", ["agera5"]),
        (["DEM", "NDVI", "CLP"], "", ["terrain"]),
        (WORLDCEREAL, "", ["sentinel2_l2a"]),
        (["conc_chl", "kd489"], "Sentinel-3 OLCI", []),
        ([], "Sentinel-2", []),
    ],
)
def test_identify(labels, hint, expected):
    assert names(bands.identify(labels, hint)) == expected


def test_hint_for_a_sensor_that_explains_nothing_is_passed_over():
    title = "Sentinel-2, Sentinel-1 and weather of one field"
    assert {one.family for one in bands.identify(["VV", "VH"], title)} == {"sentinel1"}


def test_pick_positions():
    found = bands.identify(WORLDCEREAL)
    assert bands.pick(WORLDCEREAL, ["red", "blue", "cirrus", "B08"], found) == (2, 0, None, 3)
    assert bands.pick(WORLDCEREAL, ["vv", "vh", "hh"], bands.family("sentinel1")) == (6, 5, None)
    assert bands.pick(WORLDCEREAL, ["elevation"], bands.family("terrain")) == (8,)
    weather = ["temperature_2m", "total_precipitation"]
    assert bands.pick(WORLDCEREAL, weather, [bands.sensor("agera5")]) == (10, 9)


def test_pick_without_sensors_takes_names_literally():
    assert bands.pick(["a", "Weird"], ["weird", "red"], ()) == (1, None)
    with pytest.raises(BandError, match="expected one band called 'a', got 2"):
        bands.pick(["a", "A"], ["a"], ())


def test_nir_of_landsat_goes_by_both_names():
    labels = ["SR_B4", "SR_B5"]
    assert bands.pick(labels, ["nir", "nir08"], bands.identify(labels)) == (1, 1)


def test_pick_says_what_the_sensors_disagree_about():
    labels = ["B02", "B05", "B10", "B11"]
    pair = [bands.sensor("sentinel2_l1c"), bands.sensor("landsat_c2l2")]
    assert bands.pick(labels, ["blue"], pair) == (0,)
    with pytest.raises(BandError) as caught:
        bands.pick(labels, ["nir"], pair)
    assert str(caught.value) == (
        "expected one meaning for the band 'nir', but 'B05' is rededge071 in sentinel2_l1c and "
        "nir08 in landsat_c2l2; say which with sensor=... Try: sensor='sentinel2_l1c'"
    )


def test_pick_refuses_two_claims():
    with pytest.raises(BandError, match=r"got 2: 'B8A' and 'nir08'. Try: drop or rename"):
        bands.pick(["B8A", "nir08"], ["nir08"], [bands.sensor("s2")])


@given(st.permutations(["B02", "B03", "B04", "B08", "B8A", "B11"]))
def test_pick_follows_any_order(labels):
    wanted = ["blue", "nir", "swir16", "nir08"]
    places = bands.pick(labels, wanted, [bands.sensor("s2")])
    assert [labels[at] for at in places if at is not None] == ["B02", "B08", "B11", "B8A"]


def test_unknown_sensors_get_near_names():
    with pytest.raises(
        UnknownNameError, match=r"got 'sentinel2_l2b'. Did you mean 'sentinel2_l2a'"
    ):
        bands.sensor("sentinel2_l2b")
    with pytest.raises(UnknownNameError, match="Did you mean 'era5' or 'agera5'"):
        bands.sensor("weather")


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        (
            (490, 0.06, 10),
            "expected center_wavelength in micrometres, between 0.1 and 100, got 490",
        ),
        ((0.49, 65, 10), "expected full_width_half_max in micrometres, .* got 65"),
        ((0.49, 0.06, 9e-5), "expected gsd in metres, .* got 9e-05"),
    ],
)
def test_numbers_in_other_units_are_refused(numbers, message):
    with pytest.raises(OptionError, match=message):
        bands.Band("blue", "B02", *numbers)


def test_wavelengths():
    centers = [0.42 + 0.0065 * i for i in range(90)]
    at = bands.pick_wavelengths(centers, ["red", "nir08", "swir16", 0.5])
    assert [None if i is None else round(centers[i], 2) for i in at] == [0.65, 0.85, None, 0.5]
    with pytest.raises(OptionError, match="divide nanometres by 1000"):
        bands.pick_wavelengths([490.0, 560.0], ["blue"])
    with pytest.raises(UnknownNameError, match="got 'B04'"):
        bands.pick_wavelengths([0.49], ["B04"])


def test_table_has_a_row_for_every_band():
    rows = bands.table()
    assert len(rows) == sum(len(one.bands) for one in SENSORS)
    thermal = next(r for r in rows if (r["sensor"], r["label"]) == ("landsat_c2l2", "B10"))
    assert (thermal["units"], thermal["scale"], thermal["offset"]) == ("kelvin", 0.00341802, 149.0)


def test_import_is_light():
    code = "import sys, xeo.bands; print(sorted({'xarray', 'numpy'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys, types; m = types.ModuleType('xeo'); "
         f"m.__path__ = [{str(Path(bands.__file__).parent)!r}]; sys.modules['xeo'] = m; {code}"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("s2_l2a_bolzano_202206", "sentinel2_l2a"),
        ("flanders_a_s2", "sentinel2_l2a"),
        ("s2_l1c_pair_dubai", "sentinel2_l1c"),
    ],
)
def test_real_cubes_are_told_apart(data_dir, name, expected):
    with zipfile.ZipFile(data_dir / f"{name}.zarr.zip") as store:
        labels = sorted({part.split("/")[0] for part in store.namelist() if "/" in part})
        title = json.loads(store.read(".zattrs"))["title"]
    assert names(bands.identify(labels, title)) == [expected]
    wanted = ["red", "green", "blue", "nir"]
    found = bands.pick(labels, wanted, bands.identify(labels, title))
    assert [labels[at] for at in found if at is not None] == ["B04", "B03", "B02", "B08"]
