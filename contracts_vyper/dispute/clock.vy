# pragma version 0.4.3
"""
@title The classifier of branches
@license Apache-2.0
@dev Rule D-12: who is to move, until when, and who is late. One function for views and moves.
"""

# The statuses of a branch; ABSENT where there is no such branch.
ABSENT: constant(uint256) = 0
DEFENDER: constant(uint256) = 1
CHALLENGER: constant(uint256) = 2
WAITING: constant(uint256) = 3
DEFENDER_LATE: constant(uint256) = 4
CHALLENGER_LATE: constant(uint256) = 5
CLOSED: constant(uint256) = 6

# now, and what a branch that is neither closed nor waiting is judged by. moved_at is zero before the first move under
# the candidate, revealed_at zero while the cursor is not revealed. first_demand: of the position, by any dispute;
# demanded_at: by this one.
struct Times:
    now: uint256
    posted_at: uint256
    first_demand: uint256
    demanded_at: uint256
    allowance: uint256
    response: uint256
    moved_at: uint256
    revealed_at: uint256
    challenger_reserve: uint256
    defence_reserve: uint256

# status, and for the side that is to move or late: due time, reserve beyond it. overrun: how far the last reveal came
# after its due time.
struct Verdict:
    status: uint256
    due: uint256
    reserve: uint256
    overrun: uint256


@internal
@pure
def over(time: uint256, due: uint256) -> uint256:
    # a move at its due time is in time
    return unsafe_sub(time, due) if time > due else 0


@internal
@pure
def judge(t: Times) -> Verdict:
    since: uint256 = t.moved_at
    if since == 0:
        since = max(t.posted_at, t.demanded_at)
    # INVARIANT: I-4, time to build the trace for the defence too: whoever posts an honest root early, and selects under it
    # at once, hurries nobody.
    reveal_due: uint256 = max(since, t.first_demand + t.allowance) + t.response
    limit: uint256 = reveal_due + t.defence_reserve

    # INVARIANT: I-4, a reveal that came in time counts; one that came too late does not, whoever looks when.
    if t.revealed_at > limit or (t.revealed_at == 0 and t.now > limit):
        return Verdict(status=DEFENDER_LATE, due=reveal_due, reserve=t.defence_reserve, overrun=0)
    if t.revealed_at == 0:
        return Verdict(status=DEFENDER, due=reveal_due, reserve=t.defence_reserve, overrun=0)

    due: uint256 = max(since, t.revealed_at) + t.response
    if t.moved_at == 0:
        # INVARIANT: I-5, time to build the trace: a cheat that has its own ready gains nothing.
        due = max(t.posted_at, t.demanded_at + t.allowance) + t.response
    status: uint256 = CHALLENGER_LATE if t.now > due + t.challenger_reserve else CHALLENGER
    return Verdict(
        status=status, due=due, reserve=t.challenger_reserve, overrun=self.over(t.revealed_at, reveal_due)
    )
