"""The root of the command line: groups are imported when they are named, so that `unsee --help` is quick."""

from __future__ import annotations

import importlib
import sys

import click

from unsee import __version__
from unsee.core.errors import UnseeError

_COMMANDS = {
    "init": ("unsee.cli.registry", "Make a workspace: books, keys, log."),
    "person": ("unsee.cli.registry", "People who act here, each with a key."),
    "interest": ("unsee.cli.parties", "Declared interests of people in organisations."),
    "organisation": ("unsee.cli.parties", "Which organisation holds which."),
    "store": ("unsee.cli.registry", "Places where photos lie."),
    "vault": ("unsee.cli.vault", "Photos encrypted at rest, and the keys that erase them."),
    "source": ("unsee.cli.parties", "Where photos come from."),
    "agreement": ("unsee.cli.agreements", "What givers and takers agreed."),
    "assessment": ("unsee.cli.suppliers", "Whether suppliers' consent evidence was looked at."),
    "privacy-policy": ("unsee.cli.suppliers", "What givers told their users, held against agreements."),
    "retention": ("unsee.cli.retention", "How long things are kept, and what is past its time."),
    "rules": ("unsee.cli.rules", "What the law of each place asks."),
    "channel": ("unsee.cli.channels", "The registered ways by which photos come in."),
    "quarantine": ("unsee.cli.channels", "What came through no channel."),
    "purpose": ("unsee.cli.consents", "What data and models may be used for."),
    "notice": ("unsee.cli.consents", "What people were told."),
    "consent": ("unsee.cli.consents", "What people said yes or no to."),
    "intake": ("unsee.cli.corpus", "Take a folder of photos in."),
    "dataset": ("unsee.cli.corpus", "Freeze and show datasets."),
    "exposure": ("unsee.cli.exposure", "What stands on whose photos; what falls if a source goes."),
    "train": ("unsee.cli.models", "Train a face recogniser on what is permitted."),
    "evaluate": ("unsee.cli.models", "Measure a model on held-out people."),
    "compare": ("unsee.cli.models", "Accuracy and group differences before and after."),
    "model": ("unsee.cli.uses", "Models, what they have seen, and what they are in use for."),
    "may-use": ("unsee.cli.uses", "Whether a model may be used for a purpose."),
    "why": ("unsee.cli.uses", "Why one item may or may not be used."),
    "audit": ("unsee.cli.uses", "What would fall under today's or proposed rules; changes nothing."),
    "recipient": ("unsee.cli.recipients", "Who else got it, and what they were told."),
    "disclosures": ("unsee.cli.recipients", "Every way out; who got what, or that nobody did."),
    "backup": ("unsee.cli.backups", "Backups: what they hold, until when; erased again when restored."),
    "order": ("unsee.cli.orders", "Orders that demand erasure."),
    "plan": ("unsee.cli.orders", "What will go and why; changes nothing."),
    "approve": ("unsee.cli.orders", "Sign a plan."),
    "apply": ("unsee.cli.orders", "Carry an approved plan out; resumes."),
    "verify": ("unsee.cli.orders", "Look at everything again with fresh eyes."),
    "certify": ("unsee.cli.certificates", "Write the signed certificate."),
    "receipt": ("unsee.cli.certificates", "One person's receipt."),
    "log": ("unsee.cli.certificates", "The transparency log."),
    "synth": ("unsee.cli.synth", "Render folders of faces of people who do not exist."),
}

_EPILOG = """\b
Exit codes:
  0  done
  1  a defect of unsee
  2  wrong usage
  3  a rule refuses it; the reasons are listed
  4  bad input, or no such thing
  5  the world is not as supposed: name taken, plan stale, workspace busy
  6  incomplete: something was left, and is listed
  7  tampered: a digest or signature does not fit
  8  an optional dependency is missing
  9  a store could not do what was asked
  130  interrupted; the same command resumes
"""


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        found = getattr(importlib.import_module(_COMMANDS[cmd_name][0]), cmd_name.replace("-", "_"))
        return found if isinstance(found, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_module, text) in _COMMANDS.items()])


@click.group(
    cls=_Lazy, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.version_option(__version__, prog_name="unsee")
def root() -> None:
    """Keeps the books of a face-image training corpus, and takes photos out of everything that has seen them."""


def run() -> int:
    """Run the command line; the exit code."""
    try:
        root(standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("Interrupted. The same command resumes.", err=True)
        return 130
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.exceptions.Exit as leaving:
        return leaving.exit_code
    except UnseeError as error:
        from unsee.cli.output import show_error

        show_error(error, as_json="--json" in sys.argv)
        return error.exit_code
    return 0
