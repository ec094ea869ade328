"""Why Availability refuses (availability.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from protocol.game.refusal import Refusal

AVAILABILITY: Final[Mapping[str, Refusal]] = {
    "availability: no such demand": Refusal(
        "Y-4, Y-5, Y-6",
        "nobody made this demand, or it is over: answered, expired or closed",
        "nothing, if it was answered; else take the id from the logs",
    ),
    "availability: update is not live": Refusal(
        "Y-2, Y-4, Y-5",
        "the update fell, is void, or was never posted",
        "close the demand: its fee comes back",
    ),
    "availability: update is live": Refusal(
        "Y-6",
        "the update stands, so its demands are answered or expire",
        "wait for either",
    ),
    "availability: may not ask": Refusal(
        "Y-1", "the job lets nobody, or somebody else, demand pages", "ask with the auditor's key"
    ),
    "availability: too late to ask": Refusal(
        "Y-2", "the update's deadline or the job's last time for demands has passed", "nothing: it is over"
    ),
    "availability: no such slot": Refusal("Y-2", "the state has fewer slots", "ask for a slot that it has"),
    "availability: no such page": Refusal(
        "Y-2", "no tensor of the job has so many pages", "ask for a page below 2^H"
    ),
    "availability: no place left": Refusal(
        "Y-2, Y-8", "128 demands are open on the update", "ask again when one is over"
    ),
    "availability: too late to answer": Refusal(
        "Y-4", "the answer was due before; the update can only fall", "nothing: answer in time"
    ),
    "availability: a page has 256 bytes": Refusal(
        "Y-4, C-5", "the page has another length", "send 256 bytes, or none for an absent page"
    ),
    "availability: length of a path": Refusal(
        "Y-4", "a path has not as many siblings as its tree has levels", "build it for the job's geometry"
    ),
    "availability: not in the state": Refusal(
        "Y-4", "page and paths do not lead to the update's last state", "take both from the state it posted"
    ),
    "availability: not late": Refusal(
        "Y-5", "at its due time an answer is in time", "wait until after the due time"
    ),
    "availability: disputes are open": Refusal(
        "Y-5, Y-10",
        "what disputes an update decides before what asks for its pages",
        "wait until its disputes are over",
    ),
}
