"""Mutants of the contracts: a dropped check, a time off by one, children swapped, money that goes astray."""

from __future__ import annotations

from typing import Final

from tests.mutants.workshop import Mutant

_DISPUTE: Final = "contracts_vyper/dispute/"
_BOARD: Final = "contracts_vyper/board/"
_TESTS: Final = "tests/contracts/"


def _court(name: str, module: str, old: str, new: str, test: str) -> Mutant:
    return Mutant(
        name=name, file=f"{_DISPUTE}{module}.vy", old=old, new=new, test=f"{_TESTS}test_court_{test}"
    )


def _board(name: str, file: str, old: str, new: str, test: str) -> Mutant:
    return Mutant(name=name, file=f"contracts_vyper/{file}.vy", old=old, new=new, test=f"{_TESTS}{test}")


COURT: Final = (
    _court(
        "a reveal at its last moment is late",
        "clock",
        "(t.revealed_at == 0 and t.now > limit)",
        "(t.revealed_at == 0 and t.now >= limit)",
        "clocks.py::test_a_reveal_is_due_after_the_move_that_asks_for_it",
    ),
    _court(
        "a challenger is late one second early",
        "clock",
        "t.now > due + t.challenger_reserve",
        "t.now >= due + t.challenger_reserve",
        "clocks.py::test_the_first_move_waits_for_the_trace",
    ),
    _court(
        "no time to build the trace",
        "clock",
        "due = max(t.posted_at, t.demanded_at + t.allowance) + t.response",
        "due = max(t.posted_at, t.demanded_at) + t.response",
        "clocks.py::test_the_first_move_waits_for_the_trace",
    ),
    _court(
        "reserves are not drawn on",
        "branches",
        "j.branch.challenger_reserve -= clock.over(block.timestamp, j.verdict.due)",
        "j.branch.challenger_reserve -= 0",
        "clocks.py::test_overruns_of_both_sides_are_drawn_and_inherited",
    ),
    _court(
        "anybody moves for the challenger",
        "branches",
        'guard.that(sender == records._challenger(dispute), "court: not the challenger")',
        'guard.that(sender != empty(address), "court: not the challenger")',
        "moves.py::test_only_the_challenger_moves_and_only_in_its_turn",
    ),
    _court(
        "the posting period ends a second early",
        "candidacy",
        "block.timestamp <= packing.ends_at(word)",
        "block.timestamp < packing.ends_at(word)",
        "commit.py::test_the_posting_period_ends",
    ),
    _court(
        "no place is kept",
        "candidacy",
        "used += 1",
        "used += 0",
        "commit.py::test_one_place_of_1023_is_kept_for_the_covered_candidate",
    ),
    _court(
        "every candidate of the trainer's side is covered",
        "candidacy",
        "covered: bool = own and word & packing.COVERED == 0",
        "covered: bool = own",
        "commit.py::test_the_trainers_second_candidate_takes_a_defence_bond",
    ),
    _court(
        "whoever takes a candidate over gets the other's bond",
        "candidacy",
        "payee = packing.poster(known)",
        "payee = msg.sender",
        "commit.py::test_the_trainers_side_takes_its_root_over_from_whoever_posted_it_first",
    ),
    _court(
        "any last end point will do",
        "candidacy",
        "and merkle.root_from_path(last, n & ((1 << below) - 1), last_path) == children[n >> below]",
        "and len(children) > n >> below",
        "commit.py::test_the_end_points_of_steps_are_the_segments",
    ),
    _court(
        "any total will do",
        "candidacy",
        "word == packing.fold_word(last)",
        "word == word",
        "commit.py::test_the_end_points_of_a_fold_are_the_empty_and_the_whole_accumulator",
    ),
    _court(
        "a bond comes back twice",
        "candidacy",
        "records.candidates[candidate].word = word & ~packing.BONDED",
        "records.candidates[candidate].word = word",
        "commit.py::test_a_defence_bond_comes_back_once_when_the_candidate_is_no_longer_needed",
    ),
    _court(
        "a reservation a second late is accepted",
        "openings",
        "r.reserved_at <= u.deadline",
        "r.reserved_at <= u.deadline + 1",
        "opening.py::test_a_reservation_is_made_by_the_deadline",
    ),
    _court(
        "another leaf of the history is the last state",
        "openings",
        "merkle.root_from_path(last, place + 1, last_path)",
        "merkle.root_from_path(last, place, last_path)",
        "opening.py::test_opening_records_the_dispute_and_demands_steps",
    ),
    _court(
        "an open dispute does not hold finality back",
        "openings",
        "    extcall records.board.dispute_opened(update, skip_contract_check=True)\n    return dispute",
        "    return dispute",
        "opening.py::test_opening_records_the_dispute_and_demands_steps",
    ),
    _court(
        "the latest reservation claims",
        "records",
        "self._reserved_at(dispute) < self._reserved_at(self._named(update, position, packing.CLAIMANT_AT))",
        "self._reserved_at(dispute) > self._reserved_at(self._named(update, position, packing.CLAIMANT_AT))",
        "opening.py::test_the_earliest_reservation_among_the_demanders_claims",
    ),
    _court(
        "a reveal can be made again later",
        "reveals",
        'guard.that(self.times[leaf][PAGE_LEVELS] == 0, "court: page revealed before")',
        'guard.that(leaf != empty(bytes32), "court: page revealed before")',
        "commit.py::test_reveals_are_checked_by_their_hash_and_made_once",
    ),
    _court(
        "what the defence has not revealed is selected",
        "moves",
        "len(path) == levels and merkle.root_from_path(leaf, index, path) == b.hash",
        "len(path) == levels",
        "moves.py::test_a_selection_opens_a_node_of_the_revealed_list",
    ),
    _court(
        "the agreed first state is selected",
        "moves",
        "b.index >= 1 and b.index",
        "b.index",
        "moves.py::test_a_step_is_selected_with_the_state_before_it",
    ),
    _court(
        "any state is the one before",
        "moves",
        "and merkle.root_from_path(before, b.index - 1, before_path) == records._root(candidate)",
        "and before != leaf",
        "moves.py::test_a_step_is_selected_with_the_state_before_it",
    ),
    _court(
        "anybody gives a verdict",
        "ends",
        "msg.sender == records.verifier",
        "msg.sender != empty(address)",
        "moves.py::test_a_verdict_comes_from_the_verifier_for_the_challenger",
    ),
    _court(
        "a defence in time falls silent",
        "ends",
        "j.verdict.status == clock.DEFENDER_LATE",
        "j.verdict.status == clock.DEFENDER_LATE or j.verdict.status == clock.DEFENDER",
        "clocks.py::test_a_reveal_is_due_after_the_move_that_asks_for_it",
    ),
    _court(
        "a lost dispute holds finality back for ever",
        "ends",
        "    extcall records.board.dispute_closed(update, skip_contract_check=True)\n",
        "",
        "ends.py::test_a_proof_without_fault_loses_the_dispute_to_the_trainer",
    ),
    _court(
        "what is final falls",
        "ends",
        "guard.that(not u.final",
        "guard.that(u.live",
        "ends.py::test_what_is_final_is_not_settled",
    ),
    _court(
        "a dispute of a live update is closed",
        "ends",
        "guard.that(not records._is_live(update)",
        "guard.that(update != empty(bytes32)",
        "ends.py::test_the_others_get_bond_and_gas_when_one_fells_the_update",
    ),
)

BOARD: Final = (
    _board(
        "nothing is burned",
        "board/ledger",
        "self.credit[BURN] += burned\n    return burned",
        "return 0",
        "test_board.py::test_a_fall_cuts_the_chain_and_splits_the_bond",
    ),
    _board(
        "an update stands on any other",
        "board/updates",
        "assert parent == tip",
        "assert parent != empty(bytes32)",
        "test_board.py::test_an_update_stands_on_the_tip_alone",
    ),
    _board(
        "an update is final at its deadline",
        "board/updates",
        "if index >= recorded + 64 or block.timestamp <= self.updates[update].deadline + opening:",
        "if index >= recorded + 64 or block.timestamp <= self.updates[update].deadline:",
        "test_board.py::test_finality_waits_for_deadline_and_opening",
    ),
    _board(
        "a reward is paid twice",
        "board/updates",
        '"board: claimed"\n    self.updates[update].settled = True\n',
        '"board: claimed"\n',
        "test_board.py::test_finality_waits_for_deadline_and_opening",
    ),
    _board(
        "a lease is late at its due time",
        "board/jobs",
        'assert block.timestamp > self.states[job].lease_due, "board: lease is not late"',
        'assert block.timestamp >= self.states[job].lease_due, "board: lease is not late"',
        "test_board_leases.py::test_a_lease_at_its_due_time_is_not_late",
    ),
    _board(
        "an answer at its due time is late",
        "Availability",
        "block.timestamp <= d.due",
        "block.timestamp < d.due",
        "test_availability.py::test_whoever_holds_the_page_shows_it_and_gets_what_is_left_of_the_fee",
    ),
    _board(
        "a page of another slot will do",
        "Availability",
        "merkle.root_from_path(tensor, d.slot, slot_path) == u.last_state",
        "tensor != empty(bytes32)",
        "test_availability.py::test_answers_that_prove_something_else_are_refused",
    ),
    _board(
        "a flood costs no more than one demand",
        "Availability",
        "u.demand_fee << (u.open_demands // OPEN_PER_DOUBLING)",
        "u.demand_fee",
        "test_availability.py::test_a_flood_costs_4080_fees_and_can_be_answered_in_time",
    ),
)

VERIFIER: Final = (
    Mutant(
        name="children are swapped",
        file="contracts_vyper/commitments/merkle.vy",
        old="        if bits & 1 == 0:",
        new="        if bits & 1 == 1:",
        test="tests/differential/test_merkle.py::test_paths_in_memory",
    ),
    Mutant(
        name="a leaf stands at many places",
        file="contracts_vyper/commitments/merkle.vy",
        old="    assert index >> len(path) == 0",
        new="    assert index >= 0",
        test="tests/differential/test_merkle.py::test_the_index_lies_in_the_tree",
    ),
    Mutant(
        name="bytes behind the witness are not looked at",
        file="contracts_vyper/StepVerifier.vy",
        old='    assert after == end, "verifier: trailing bytes"\n    return fault',
        new="    return fault",
        test="tests/differential/test_verifier_refusals.py",
    ),
    Mutant(
        name="a page past the extent may be anything",
        file="contracts_vyper/StepVerifier.vy",
        old="fault = leaf != empty(bytes32)",
        new="fault = False",
        test="tests/differential/test_verifier_leaves.py::test_pages_past_the_extent_are_absent",
    ),
)

CONTRACTS: Final = (*COURT, *BOARD, *VERIFIER)
