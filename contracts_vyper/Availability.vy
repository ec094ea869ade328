# pragma version 0.4.3
# pragma evm-version prague
# pragma nonreentrancy on
"""
@title Availability: demands for pages of the last committed state
@license Apache-2.0
@notice Who may ask and has paid asks for one page of an update's last state. Whoever holds it answers with its proof in
        time, or the update falls. What an answer shows is possession, and no more.
@dev Rules Y-1 to Y-7 (specs/availability.md). Times are seconds of block timestamps, amounts the token's smallest unit,
     which the board holds.
@custom:security Everything is called by anyone but `demand`, whose sender the job's terms allow. Records are cleared before
     the board is called.
"""
from contracts_vyper import job_words
from contracts_vyper.commitments import merkle
from contracts_vyper.interfaces import IJobBoard

MAX_OPEN: constant(uint256) = 128
OPEN_PER_DOUBLING: constant(uint256) = 16
# heights of the tallest trees of pages and of slots (U-1)
MAX_PAGE_PATH: constant(uint256) = 26
MAX_SLOT_PATH: constant(uint256) = 32
PAGE_BYTES: constant(uint256) = 256
ANYBODY: constant(address) = 0xFFfFfFffFFfffFFfFFfFFFFFffFFFffffFfFFFfF

# An open demand; all zero once it is over.
struct Demand:
    update: bytes32
    asker: address
    slot: uint256
    page: uint256
    due: uint256
    fee: uint256
    place: uint256

# The same in storage: who is asker and due and slot (160, 64, 32 bits), what is fee and page and place (128, 32, 8).
struct Record:
    update: bytes32
    who: uint256
    what: uint256

event PageDemanded:
    demand: indexed(bytes32)
    update: indexed(bytes32)
    asker: indexed(address)
    slot: uint256
    page: uint256
    due: uint256
    fee: uint256

event PageShown:
    demand: indexed(bytes32)
    update: indexed(bytes32)
    holder: indexed(address)
    page: Bytes[PAGE_BYTES]

event DemandExpired:
    demand: indexed(bytes32)
    update: indexed(bytes32)
    resolver: indexed(address)

event DemandClosed:
    demand: indexed(bytes32)
    update: indexed(bytes32)

board: public(immutable(IJobBoard))
# Demands ever made against an update.
made: public(HashMap[bytes32, uint256])
_records: HashMap[bytes32, Record]
# The open demands of an update, at places below the board's count of them.
_open: HashMap[bytes32, bytes32[MAX_OPEN]]


@deploy
def __init__(board_: address):
    """
    @notice Bind to a board for ever; the board is bound to this by its deployer.
    @param board_ Job board (IJobBoard).
    """
    board = IJobBoard(board_)


@internal
@view
def _read(demand: bytes32) -> Demand:
    r: Record = self._records[demand]
    return Demand(
        update=r.update,
        asker=convert(r.who >> 96, address),
        slot=r.who & (2**32 - 1),
        page=(r.what >> 8) & (2**32 - 1),
        due=(r.who >> 32) & (2**64 - 1),
        fee=r.what >> 40,
        place=r.what & 255,
    )


@internal
@view
def _known(demand: bytes32) -> Demand:
    d: Demand = self._read(demand)
    assert d.update != empty(bytes32), "availability: no such demand"
    return d


@internal
def _clear(demand: bytes32, d: Demand, open_demands: uint256):
    # the last open demand moves to the place that becomes free
    last: bytes32 = self._open[d.update][open_demands - 1]
    self._open[d.update][open_demands - 1] = empty(bytes32)
    if last != demand:
        self._open[d.update][d.place] = last
        self._records[last].what = (self._records[last].what & ~convert(255, uint256)) | d.place
    self._records[demand] = empty(Record)


@external
def demand(update: bytes32, slot: uint256, page: uint256) -> bytes32:
    """
    @notice Ask for one page of an update's last state (Y-2). Takes the fee (Y-3).
    @param update Update id.
    @param slot Slot of the state.
    @param page Page of the slot's tensor.
    @return demand Demand id.
    """
    u: IJobBoard.DemandContext = staticcall board.demand_context(update)
    assert u.live, "availability: update is not live"
    assert u.auditor == ANYBODY or u.auditor == msg.sender, "availability: may not ask"
    # INVARIANT: I-3, nothing surfaces after the deadline, so demands hold finality back for one answer time at most.
    assert block.timestamp <= min(u.deadline, u.demand_until), "availability: too late to ask"
    assert slot < job_words.geometry(u.geometry, job_words.N_SLOTS), "availability: no such slot"
    assert page < 1 << job_words.geometry(u.geometry, job_words.TENSOR_HEIGHT), "availability: no such page"
    # INVARIANT: I-6, no more than an honest trainer can answer.
    assert u.open_demands < MAX_OPEN, "availability: no place left"
    number: uint256 = self.made[update]
    # INVARIANT: I-9, the id says what is asked, by whom.
    id: bytes32 = sha256(abi_encode(update, slot, page, msg.sender, number))
    due: uint256 = block.timestamp + u.answer_time
    fee: uint256 = u.demand_fee << (u.open_demands // OPEN_PER_DOUBLING)
    self.made[update] = number + 1
    self._open[update][u.open_demands] = id
    self._records[id] = Record(
        update=update,
        who=(convert(msg.sender, uint256) << 96) | (due << 32) | slot,
        what=(fee << 40) | (page << 8) | u.open_demands,
    )
    log PageDemanded(demand=id, update=update, asker=msg.sender, slot=slot, page=page, due=due, fee=fee)
    extcall board.demand_opened(update, msg.sender, fee, skip_contract_check=True)
    return id


@external
def answer(
    demand: bytes32,
    page: Bytes[PAGE_BYTES],
    page_path: DynArray[bytes32, MAX_PAGE_PATH],
    slot_path: DynArray[bytes32, MAX_SLOT_PATH],
):
    """
    @notice Show the page that was asked for, under the update's last state (Y-4). Anyone; gets what is left of the fee.
    @param demand Demand id.
    @param page Its 256 bytes; empty for a page that the tensor does not have (C-5).
    @param page_path Siblings from the page to the tensor root, lowest first.
    @param slot_path Siblings from the tensor root to the state root.
    """
    d: Demand = self._known(demand)
    u: IJobBoard.DemandContext = staticcall board.demand_context(d.update)
    assert u.live, "availability: update is not live"
    # INVARIANT: I-7, a page that is not shown in time is not shown.
    assert block.timestamp <= d.due, "availability: too late to answer"
    assert len(page) == PAGE_BYTES or len(page) == 0, "availability: a page has 256 bytes"
    height: uint256 = job_words.geometry(u.geometry, job_words.TENSOR_HEIGHT)
    slots: uint256 = job_words.height(job_words.geometry(u.geometry, job_words.N_SLOTS))
    assert len(page_path) == height and len(slot_path) == slots, "availability: length of a path"
    leaf: bytes32 = empty(bytes32)
    if len(page) > 0:
        leaf = sha256(page)
    tensor: bytes32 = merkle.root_from_path(leaf, d.page, page_path)
    # INVARIANT: C-3, this page of this slot and no other.
    assert merkle.root_from_path(tensor, d.slot, slot_path) == u.last_state, "availability: not in the state"
    self._clear(demand, d, u.open_demands)
    log PageShown(demand=demand, update=d.update, holder=msg.sender, page=page)
    extcall board.demand_closed(d.update, msg.sender, d.fee, True, skip_contract_check=True)


@external
def expire(demand: bytes32):
    """
    @notice Fell the update of a demand that nobody answered in time, when no dispute is open on it (Y-5). Anyone; tipped.
    @param demand Demand id.
    """
    d: Demand = self._known(demand)
    u: IJobBoard.DemandContext = staticcall board.demand_context(d.update)
    assert u.live, "availability: update is not live"
    # INVARIANT: I-6, at its due time an answer is in time.
    assert block.timestamp > d.due, "availability: not late"
    # INVARIANT: I-5, no demand takes what a challenger is about to win.
    assert u.open_disputes == 0, "availability: disputes are open"
    self._clear(demand, d, u.open_demands)
    log DemandExpired(demand=demand, update=d.update, resolver=msg.sender)
    extcall board.demand_closed(d.update, d.asker, d.fee, False, skip_contract_check=True)
    extcall board.fell_unanswered(d.update, msg.sender, d.asker, skip_contract_check=True)


@external
def close_demand(demand: bytes32):
    """
    @notice Give the fee of a demand back whose update is not live (Y-6). Anyone.
    @param demand Demand id.
    """
    d: Demand = self._known(demand)
    u: IJobBoard.DemandContext = staticcall board.demand_context(d.update)
    assert not u.live, "availability: update is live"
    self._clear(demand, d, u.open_demands)
    log DemandClosed(demand=demand, update=d.update)
    extcall board.demand_closed(d.update, d.asker, d.fee, False, skip_contract_check=True)


@external
@view
def demand_info(demand: bytes32) -> Demand:
    """
    @notice An open demand.
    @param demand Demand id.
    @return info All zero for one that is over, or was never made.
    """
    return self._read(demand)


@external
@view
def open_demands(update: bytes32) -> DynArray[bytes32, MAX_OPEN]:
    """
    @notice The open demands of an update, in no order.
    @param update Update id.
    @return demands Their ids.
    """
    count: uint256 = (staticcall board.demand_context(update)).open_demands
    found: DynArray[bytes32, MAX_OPEN] = []
    for place: uint256 in range(count, bound=MAX_OPEN):
        found.append(self._open[update][place])
    return found
