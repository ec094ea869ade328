"""Why the step verifier refuses (program.md), and the folding of Merkle proofs (commitments.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from protocol.game.refusal import Refusal

_WITNESS: Final = "build the witness again from the chain's view of the branch; it is no proof for this leaf"

PROOFS: Final[Mapping[str, Refusal]] = {
    "verifier: no court": Refusal(
        "P-15", "the court is an address without code", "name the court of the deployment"
    ),
    "verifier: cursor kind": Refusal(
        "P-15", "no leaf stands below this cursor yet", "select further down, then prove"
    ),
    "verifier: index": Refusal("P-15", "the index is not a leaf below the cursor", _WITNESS),
    "verifier: encoding": Refusal(
        "P-15",
        "the byte string does not lie where a canonical encoding puts it",
        "encode the call with a plain ABI encoder",
    ),
    "verifier: short stream": Refusal("P-13, P-15", "the stream ends too early", _WITNESS),
    "verifier: trailing bytes": Refusal("P-13, P-15", "bytes are left at the end of the stream", _WITNESS),
    "verifier: descriptor": Refusal(
        "P-15, C-8", "descriptor and path do not lead to the program root", _WITNESS
    ),
    "verifier: leaf": Refusal("P-15", "leaf and path do not lead to the cursor", _WITNESS),
    "verifier: page": Refusal("P-15", "the page does not hash to the cursor", _WITNESS),
    "verifier: page tag": Refusal("P-13", "a page begins with neither 0 nor 1", _WITNESS),
    "verifier: page within the extent": Refusal(
        "P-15",
        "a page that holds words is not judged as padding",
        "select into the page and prove one of its words",
    ),
    "verifier: word past the extent": Refusal(
        "P-15, P-16", "the node does not write this word", "prove that the word is not zero instead"
    ),
    "verifier: fold is bisected": Refusal(
        "P-12, P-15",
        "the fold is too long to be recomputed whole",
        "select the word, and prove a range of its fold",
    ),
    "verifier: fold is whole": Refusal("P-12, P-16", "the fold is one range", "prove the word itself"),
    "verifier: range": Refusal(
        "P-15", "the fold has no range of this number", "name a range from 1 to the last"
    ),
    "verifier: accumulator": Refusal(
        "P-15", "the accumulator is not the one committed before the range", _WITNESS
    ),
    "verifier: accumulator length": Refusal("N-12", "an accumulator has 97 bytes", "bring all of it"),
    "verifier: operand root": Refusal(
        "P-13", "an operand's tensor root is not under the tree it is read from", _WITNESS
    ),
    "verifier: operand page": Refusal("P-13", "an operand's page is not under its tensor root", _WITNESS),
    "verifier: link table": Refusal("P-9, P-15", "input 0 is not under the inputs root", _WITNESS),
    "verifier: link page": Refusal("P-9, P-15", "the page of the link is not under input 0", _WITNESS),
    "verifier: link root": Refusal(
        "P-9, P-15", "the root that the link names is not under its tree", _WITNESS
    ),
    "verifier: number too large": Refusal(
        "P-7, P-16", "a number that no job has", "ask with the job's own numbers"
    ),
    "merkle: index outside the tree": Refusal("C-3", "a path is shorter than its index", _WITNESS),
    "merkle: height above 64": Refusal("C-3", "a path of more than 64 levels", _WITNESS),
    "merkle: children not a power of two": Refusal("C-3", "a list of children that no tree has", _WITNESS),
    "merkle: more than 1024 children": Refusal("C-3", "a list of more than 1024 children", _WITNESS),
    "accumulator: length": Refusal("N-12", "an accumulator has 97 bytes", "bring all of it"),
    "functions: no contract": Refusal(
        "B-5, U-1",
        "deployment of the verifier: the scalar functions are at an address without code",
        "deploy ScalarFunctions first",
    ),
    "scalar: no such function": Refusal(
        "N-15", "the code is no scalar function's", "ask for one of the table of primitives"
    ),
    "scalar: not a word": Refusal("N-15", "the argument is not below 2^32", "ask with a word"),
}
