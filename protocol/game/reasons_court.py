"""Why the court refuses (dispute.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from protocol.game.refusal import Refusal

_PATHS: Final = "build the paths from the states that the update logged"
_TREE: Final = "build the commitment again from a replay, with the shape that the position asks for"
_SELECT: Final = "build the move again from the list that was revealed for the cursor"

COURT: Final[Mapping[str, Refusal]] = {
    "court: reserved before": Refusal(
        "D-1", "the sender has reserved this digest", "open it, or reserve with another salt"
    ),
    "court: nothing reserved": Refusal(
        "D-2",
        "the sender has no such reservation to take back",
        "check the digest and the key; the bond may be back already",
    ),
    "court: reservation was opened": Refusal(
        "D-2", "its bond is the dispute's now", "wait for the dispute to end, then close it"
    ),
    "court: opened before": Refusal("D-2", "the dispute exists", "go on with the dispute as it is"),
    "court: opening is over": Refusal(
        "D-2",
        "more than V after the reservation",
        "take the reservation back and, before the update's deadline, reserve again",
    ),
    "court: reserved too late": Refusal(
        "D-2, U-6",
        "the reservation, or an opening without one, is later than the update's deadline",
        "nothing: the update can no longer be disputed",
    ),
    "court: reserved for another job": Refusal(
        "D-2", "the reservation's job is not the update's", "reserve for the job of the update"
    ),
    "court: not a segment of it": Refusal(
        "D-2", "the segment is not the update's", "name a segment that the update posts"
    ),
    "court: first state not in history": Refusal(
        "D-2, C-9", "the state before the segment, with its path, is not in the update's history", _PATHS
    ),
    "court: last state not in history": Refusal(
        "D-2, C-9", "the state after the segment, with its path, is not in the update's history", _PATHS
    ),
    "court: too many disputes": Refusal(
        "D-2", "2^26 - 1 disputes of this update are opened, all that it has numbers for", "leave it to those"
    ),
    "court: update is not live": Refusal(
        "U-2, D-2, D-5, D-14",
        "it fell, is void, or was never posted",
        "close the dispute, free or reclaim bonds: what is gone is not judged",
    ),
    "court: update is final": Refusal(
        "U-6, D-2, D-14", "the update is final and stays", "nothing: it can no longer fall"
    ),
    "court: no such position": Refusal(
        "D-4", "nobody has demanded it", "wait until it is demanded, and take the id from the chain"
    ),
    "court: posting period is over": Refusal(
        "D-5", "later than ends_at", "nothing: a commitment is owed in time"
    ),
    "court: fallen above": Refusal(
        "D-5, D-14, D-16",
        "a candidate that the position hangs under has fallen",
        "free the bond of what stands below; nothing more is decided there",
    ),
    "court: wrong number of children": Refusal("D-5", "not 2^levels(h)", _TREE),
    "court: wrong first end point": Refusal(
        "D-5, P-16", "the first leaf, with its path, is not the agreed one", _TREE
    ),
    "court: wrong last end point": Refusal(
        "D-5, P-16", "the last leaf, with its path, is not the agreed one", _TREE
    ),
    "court: first path not asked for": Refusal("D-5", "NODES has no first end point", "leave it empty"),
    "court: accumulator not asked for": Refusal("D-5", "not a FOLD", "leave it empty"),
    "court: accumulator of 97 bytes": Refusal("D-5, N-12", "the accumulator has another length", _TREE),
    "court: accumulator not the word's": Refusal(
        "D-5, P-16", "the accumulator finishes to another word", _TREE
    ),
    "court: candidate exists": Refusal(
        "D-5", "standing or fallen; only the trainer's side takes one over, once", "defend it as it is"
    ),
    "court: no place left": Refusal(
        "D-5", "1,023 candidates, or 1,022 without the covered one", "defend one that stands"
    ),
    "court: no defence bond held": Refusal(
        "D-16", "covered, given back, lost, or no candidate", "nothing is owed"
    ),
    "court: candidate is still needed": Refusal(
        "D-16",
        "the update is pending and nothing above the candidate has fallen",
        "wait until the update is final or gone, or something above has fallen",
    ),
    "court: children not 2^n": Refusal(
        "D-6", "the number of children is not a power of two from 2 to 1,024", _TREE
    ),
    "court: revealed before": Refusal("D-6", "this list was revealed", "nothing: one reveal serves all"),
    "court: a page has 256 bytes": Refusal("D-6", "the page has another length", "reveal the whole page"),
    "court: page revealed before": Refusal("D-6", "this page was revealed", "nothing: one reveal serves all"),
    "court: not the challenger": Refusal(
        "D-8, D-9, D-10, D-11",
        "another account moves, or proves, than the one that opened the dispute",
        "use the key that opened the dispute",
    ),
    "court: no such branch": Refusal(
        "D-7",
        "the dispute has not demanded the candidate's position",
        "take dispute and candidate from the chain",
    ),
    "court: branch is closed": Refusal(
        "D-12",
        "the dispute is over, or the candidate or what it hangs under has fallen",
        "close the dispute; nothing moves there any more",
    ),
    "court: challenger is late": Refusal(
        "D-12", "the challenger's time in this branch is over", "nothing: the dispute can be ended by anyone"
    ),
    "court: not the challenger's turn": Refusal(
        "D-12", "the defence is to move or late, or the branch waits", "wait for the reveal, or play below"
    ),
    "court: index outside the list": Refusal("D-8", "the list has fewer children", _SELECT),
    "court: not under the cursor": Refusal(
        "D-8, D-9", "the path does not lead to the cursor's hash", _SELECT
    ),
    "court: nothing below the cursor": Refusal("D-8", "the cursor is a leaf itself", "prove it"),
    "court: leaf has its own move": Refusal(
        "D-8", "a leaf of STEPS, STATE or FOLD", "select a step, or prove"
    ),
    "court: word has its own move": Refusal("D-8, D-10", "at a PAGE cursor", "select the word, or prove it"),
    "court: no such node": Refusal(
        "D-8", "past the state after the step", "select a node, or the state after the step"
    ),
    "court: not among steps": Refusal(
        "D-9", "the cursor is not in a STEPS tree", "select a child; steps stand under a STEPS candidate"
    ),
    "court: not a step yet": Refusal(
        "D-9", "the list does not end in leaves", "select the child, then the step below it"
    ),
    "court: no such step": Refusal(
        "D-9", "leaf 0, or past the segment", "select step 1 to the last of the segment"
    ),
    "court: state before not committed": Refusal(
        "D-9",
        "the state before, with its path, is not under the candidate's root",
        "open the leaf before with its whole path",
    ),
    "court: not at a page": Refusal("D-10", "the cursor is not a page", "select down to a page first"),
    "court: a page has 64 words": Refusal("D-10", "the index is 64 or more", "name a word from 0 to 63"),
    "court: page is not at the cursor": Refusal(
        "D-10", "the page does not hash to the cursor", "bring the revealed page, whole"
    ),
    "court: not at a last level": Refusal(
        "D-11, P-15", "the leaves stand further below the cursor", "select further down, then prove"
    ),
    "court: not the verifier": Refusal(
        "D-11", "another sender gives the verdict", "prove through the step verifier"
    ),
    "court: defence is not late": Refusal(
        "D-14",
        "the defence is in time, it is not its turn, or there is no such branch",
        "wait until its time and reserve are over",
    ),
    "court: challenger is not late": Refusal(
        "D-15",
        "the challenger is in time, it is not its turn, or there is no such branch",
        "wait until its time and reserve are over",
    ),
    "court: not ended and empty": Refusal(
        "D-14",
        "the posting period is not over, or a candidate stands",
        "wait for the end of the posting period; a candidate that stands has to fall first",
    ),
    "court: dispute is not open": Refusal("D-16", "lost, closed, or none", "nothing: it has ended"),
    "court: update is live": Refusal(
        "D-16", "the update stands, so its disputes go on", "play on, or wait until it falls"
    ),
    "court: no board or no verifier": Refusal(
        "U-1",
        "deployment: an address without code",
        "deploy again with `gavel deploy`, which deploys them in order",
    ),
}
