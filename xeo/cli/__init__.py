"""The command line ``xeo``: one file a command, no logic of its own."""

from __future__ import annotations

import click

from xeo.cli.classify import classify
from xeo.cli.cloud_mask import cloud_mask
from xeo.cli.composite import composite
from xeo.cli.compress import compress
from xeo.cli.decompress import decompress
from xeo.cli.embed import embed
from xeo.cli.evaluate_gap_filling import evaluate_gap_filling
from xeo.cli.group import Commands
from xeo.cli.inspect import inspect
from xeo.cli.models import models
from xeo.cli.remove_clouds import remove_clouds
from xeo.cli.tune import tune
from xeo.cli.verify import verify


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
Exit codes:
  0    done
  1    xeo cannot do it; one line on stderr says why
  2    the command line is wrong
  130  interrupted (143: terminated); what is written is whole
""",
)
@click.version_option(package_name="xarray-eo")
def main() -> None:
    """Run Earth-observation models on data cubes, clear them of clouds, and compress them."""


for _command in (
    *(embed, classify, cloud_mask, remove_clouds, evaluate_gap_filling, composite),
    *(models, tune, compress, decompress, verify, inspect),
):
    main.add_command(_command)
