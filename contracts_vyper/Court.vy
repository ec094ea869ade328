# pragma version 0.4.3
# pragma evm-version prague
# pragma nonreentrancy on
# pragma optimize codesize
"""
@title Court: disputes over updates, narrowed to one arithmetic check
@license Apache-2.0
@notice The trainer's side reveals, the challenger selects, the verifier computes. The challenger commits to nothing, and the
        contract compares no two trees.
@dev Rules D-1 to D-17 (specs/dispute.md). Each module is one part of them:

     records     storage and plain views     reveals     child lists and pages (D-6)
     openings    reserve, open (D-1, D-2)    branches    cursors and the classifier (D-7, D-12, D-13)
     candidacy   commit (D-5)                moves       select, prove (D-8 to D-11)
     clock       arithmetic of D-12          ends        falls and losses (D-14 to D-16)
     packing     small integers in slots

     Times are seconds of block timestamps. Reasons of refusal are listed in specs/errors.md.
@custom:security Everything that changes state is called by anyone, the dispute's challenger or the trainer's side, as each
     function says; `verdict` by the verifier only. Bonds are held by the board.
"""
from contracts_vyper.dispute import branches
from contracts_vyper.dispute import candidacy
from contracts_vyper.dispute import ends
from contracts_vyper.dispute import moves
from contracts_vyper.dispute import openings
from contracts_vyper.dispute import records
from contracts_vyper.dispute import reveals
from contracts_vyper.interfaces import ICourtContext

implements: ICourtContext
initializes: records
initializes: reveals
initializes: branches[records := records, reveals := reveals]
initializes: openings[records := records]
initializes: candidacy[records := records, reveals := reveals]
initializes: moves[records := records, branches := branches]
initializes: ends[records := records, branches := branches]

exports: (
    openings.reserve,
    openings.cancel_reservation,
    openings.open,
    candidacy.delegate,
    candidacy.commit,
    candidacy.free,
    reveals.reveal,
    reveals.reveal_page,
    reveals.revealed_at,
    moves.select,
    moves.select_step,
    moves.select_word,
    moves.proof_context,
    ends.verdict,
    ends.silence,
    ends.timeout,
    ends.settle,
    ends.close,
    branches.branch,
    branches.classify,
    records.board,
    records.verifier,
    records.reservation,
    records.dispute,
    records.position,
    records.candidate,
    records.candidates_of,
    records.is_delegate,
    records.position_id,
    records.traces,
)


@deploy
def __init__(board_: address, verifier_: address):
    """
    @notice Bind the court to its board and verifier for ever; the board is bound to the court by its deployer.
    @param board_ Job board (IJobBoard).
    @param verifier_ Step verifier; its code is part of what a job id fixes.
    """
    records.__init__(board_, verifier_)
