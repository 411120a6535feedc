"""`pgkd models`: find, fetch and locate model weights."""

from __future__ import annotations

from typing import Annotated

import typer

Option = typer.Option

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.command("list")
def list_(
    as_json: Annotated[bool, Option("--json", help="Print the list as JSON.")] = False,
) -> None:
    """List the weights that pgkd knows, and which of them are here."""
    from pgkd.apps.cli.console import print_json, print_rows
    from pgkd.weights.cache import cached
    from pgkd.weights.pins import catalogue

    found = [
        {
            "name": weights.name,
            "kind": weights.kind,
            "bytes": weights.size,
            "licence": weights.licence,
            "hub": weights.hub,
            "about": weights.about,
            "path": str(path) if (path := cached(weights.name)) else None,
        }
        for weights in catalogue()
    ]
    if as_json:
        print_json(found)
        return
    rows = [
        (
            str(f["name"]),
            str(f["kind"]),
            f"{int(str(f['bytes'])) / 1e6:,.0f} MB",
            str(f["licence"]),
            "here" if f["path"] else "not here",
            str(f["about"]),
        )
        for f in found
    ]
    print_rows("", ("name", "kind", "size", "licence", "in the cache", "about"), rows)


@app.command()
def pull(
    names: Annotated[
        list[str] | None, typer.Argument(help="Default: the default teacher and student.")
    ] = None,
    source: Annotated[str, Option(help="auto, hub or mirror.")] = "auto",
) -> None:
    """Fetch weights into the cache; what is there already is left alone."""
    from pgkd.apps.cli.console import console
    from pgkd.errors import ConfigError
    from pgkd.weights.fetch import pull as fetch
    from pgkd.weights.pins import DEFAULT_STUDENT, DEFAULT_TEACHER

    if source not in ("auto", "hub", "mirror"):
        raise ConfigError(f"--source is '{source}'; it has to be auto, hub or mirror.")
    for name in names or (DEFAULT_TEACHER, DEFAULT_STUDENT):
        path = fetch(name, source)  # type: ignore[arg-type]  # checked above
        console().print(f"{name}: {path}", soft_wrap=True)


@app.command()
def path(name: Annotated[str, typer.Argument(help="A name of `pgkd models list`.")]) -> None:
    """Print where weights are."""
    from pgkd.errors import WeightsError
    from pgkd.weights.cache import cached

    found = cached(name)
    if found is None:
        raise WeightsError(f"'{name}' is not in the cache. Run: pgkd models pull {name}")
    print(found)
