"""`gavel --help`: the commands by who needs them, each in one line."""

from __future__ import annotations

from typing import Final

import click

SECTIONS: Final = {
    "To see it work": {
        "demo": "Train, cheat, catch, slash: the whole story in one minute.",
        "devnet": "Serve a chain of one's own on this machine.",
        "tick": "Move the clock of such a chain on.",
        "doctor": "Check machine, node, key and contracts.",
        "deploy": "Deploy the contracts.",
        "key": "Make an encrypted keystore, see an address.",
    },
    "To have a model trained": {
        "job": "Open a job, look at it, get its model, end it.",
    },
    "To train for others": {
        "quote": "What a job will cost, pay and risk on this machine.",
        "trainer": "Train, post, defend and collect in one process.",
        "train": "Train segments, and store them.",
        "submit": "Post what is trained as an update, with its bond.",
        "defend": "Answer disputes, show pages, collect rewards.",
    },
    "To watch, and be paid for what is wrong": {
        "watch": "Replay every update, dispute the wrong ones.",
    },
    "To look on, without a key": {
        "status": "What the chain holds: updates, disputes, demands.",
        "monitor": "Replay jobs, say where the chain disagrees.",
        "explain": "One dispute as an HTML page for people.",
        "verify": "Check checkpoints against a job, without a chain.",
    },
    "To check gavel itself": {
        "certify": "Check the kernels of functions at all 2^32 words.",
        "replay": "Hold this implementation to fixtures.",
        "fixtures": "Make the fixtures of specs/fixtures.",
    },
}


class Overview(click.Group):
    """A group whose help lists its commands by section."""

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sections."""
        del context
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl(list(commands.items()), col_max=12)
