"""The main job of `gavel demo`, from deployment to the loaded model, played by the shipped agents."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from challenger.agent import Watcher
from gavel.demo import model
from gavel.demo.evidence import evidence
from gavel.demo.parties import TrainingParty
from gavel.demo.record import Evidence, Report, Told, Verdict, dispute_transactions, transactions
from gavel.explain.facts import facts_of
from gavel.explain.page import page
from gavel.jobs import load_module_state, make_executor, make_job, open_job
from gavel.scenarios.cheats import DEFAULT, Cheat, cheat
from gavel.scenarios.conduct import FAITHFUL, Conduct
from gavel.scenarios.decision import decision
from gavel.scenarios.waiting import next_moment
from protocol.chain.agent import Log
from protocol.chain.client import Client
from protocol.chain.court_view import ChainView
from protocol.chain.deployment import Contracts, deploy
from protocol.chain.embedded import EmbeddedChain, EmbeddedProvider
from protocol.chain.moves import send_move
from protocol.errors import MismatchError, UsageError
from protocol.game.moves import Move, Prove, Withdraw
from protocol.game.trace import HONEST, Hooks
from protocol.game.view import UpdateStatus
from protocol.job import load_preset
from protocol.job_folder import JobFolder
from prover.trainer import Segment

STRIDE: Final = 20
BATCH: Final = 64
SEGMENTS: Final = 40
FIRST_SEGMENTS: Final = 6
"""Segments that the first trainer posts."""

CHEATED: Final = (3, 2)
"""Segments of the cheating trainer's two updates."""

CHEAT_STEPS: Final = range(FIRST_SEGMENTS * STRIDE, (FIRST_SEGMENTS + 2) * STRIDE)
"""Steps that it can cheat in: those of the first two segments of its first update."""

CHEAT_STEP: Final = 147

NO_PLACE: Final = frozenset(
    {"padded-slot", "silent-steps-reveal", "silent-nodes-reveal", "silent-fold-reveal", "garbage-nodes"}
)
"""Cheats that this job has no place for: its 16 slots fill their tree, and a commitment to its states, its
nodes or its sums comes with all of them.
"""

REQUESTER, FIRST, CHEAT, SECOND, WATCHER = ROLES = (
    "requester",
    "first trainer",
    "cheating trainer",
    "second trainer",
    "watcher",
)
TOKENS: Final = 10_000 * 10**18
LIFETIME: Final = 90 * 86_400
MAX_PASSES: Final = 100
BURN: Final = bytes.fromhex("000000000000000000000000000000000000dead")


class Narrator:
    """What is told while the story goes; this one says nothing."""

    def chapter(self, title: str) -> None:
        """A new part of the story begins."""

    def say(self, who: str, line: str) -> None:
        """An actor reports."""

    def trained(self, who: str, segment: Segment) -> None:
        """An actor has trained a segment."""


def playable(name: str, step: int) -> Cheat:
    """Return a cheat that the story can be told with.

    Args:
        name: of the cheat.
        step: in which it is to be.

    Raises:
        UsageError: there is no such cheat here, or it cannot be in that step.
    """
    found = cheat(name)
    if name in NO_PLACE:
        raise UsageError(
            f"the demo's job has no place for the cheat {name!r}; `gavel demo --cheat list` says which"
        )
    if step not in CHEAT_STEPS:
        raise UsageError(
            f"the cheating trainer cannot cheat in step {step}: give --step from {CHEAT_STEPS[0]} to "
            f"{CHEAT_STEPS[-1]}, the steps of segments {FIRST_SEGMENTS + 1} and {FIRST_SEGMENTS + 2}"
        )
    return found


class Story:
    """The main job; `play` plays it once."""

    def __init__(
        self,
        *,
        seed: int,
        folder: Path,
        narrator: Narrator,
        cheat_name: str = DEFAULT,
        step: int = CHEAT_STEP,
    ) -> None:
        """Start a chain with an account for everybody.

        Args:
            seed: of model initialisation, batch schedule, and the cheat's choices.
            folder: for the parties' job folders and checkpoints.
            narrator: told what happens.
            cheat_name: what the cheating trainer does (gavel.scenarios.cheats); step: in which step.

        Raises:
            UsageError: there is no such cheat here, or it cannot be in that step.
        """
        self._cheat, self._step = playable(cheat_name, step), step
        self._seed, self._folder, self._narrator = seed, folder, narrator
        self._chain = EmbeddedChain(accounts=len(ROLES) + 1)
        self._keys = dict(zip((*ROLES, "deployer"), self._chain.keys, strict=True))
        self._clients = {
            who: Client(EmbeddedProvider(self._chain), key=key) for who, key in self._keys.items()
        }
        self._seconds: dict[str, float] = {}

    def play(self) -> Report:
        """Play the whole story.

        Raises:
            GavelError: something did not go as the protocol says it must.
        """
        with self._timed("open", "1. Contracts are deployed and a job is opened"):
            self._deploy()
            before = self._balances()
            self._open()
        with self._timed("honest", f"2. An honest trainer posts segments 1 to {FIRST_SEGMENTS}"):
            self._train(self._party(FIRST), FIRST_SEGMENTS)
            self._parties[FIRST].release()
            self._watch_until_idle()
        with self._timed("dispute", "3. A cheating trainer builds on them; the watcher disputes"):
            found = self._cheated()
        done = self._segments_posted()
        with self._timed("finish", f"4. Another trainer resumes from segment {done} and finishes"):
            self._train(self._party(SECOND), SEGMENTS - done)
            self._watch_until_idle()
        with self._timed("settle", "5. The challenge window passes; rewards are claimed, the model loads"):
            self._collect()
            accuracy = self._accuracy()
        return self._report(found, before, accuracy)

    # ---------------------------------------------------------------- opening

    def _deploy(self) -> None:
        self._say("deployer", "compiles the contracts (kept for the next time)")
        self._deployer = deploy(self._clients["deployer"])
        deployment = self._deployer.deployment
        self._contracts = {who: Contracts.bind(self._clients[who], deployment) for who in ROLES}
        for contracts in self._contracts.values():
            self._deployer.token.send("transfer", contracts.client.address, TOKENS, tag="hand out tokens")
        self._say("deployer", "deployed token, step verifier, job board and court; code on chain checked")

    def _open(self) -> None:
        self._say(REQUESTER, "traces one training step of the nn.Module, loss and optimizer")
        self._job = make_job(
            model.digits_classifier(self._seed),
            contracts=self._contracts[REQUESTER],
            preset=load_preset("full"),
            steps=SEGMENTS * STRIDE,
            stride=STRIDE,
            batch=BATCH,
            seed=sha256(f"gavel demo {self._seed}".encode()).digest(),
            salt=bytes(32),
            lifetime=LIFETIME,
        )
        open_job(self._contracts[REQUESTER], self._job, self._path(REQUESTER) / "job")
        geometry = self._job.job.geometry
        self._say(
            REQUESTER,
            f"captured {geometry.n_nodes} nodes from the nn.Module and Adam, compared with eager PyTorch; "
            f"opened and funded job {self._job.job.job_id.hex()[:12]}, {SEGMENTS} segments of {STRIDE} steps",
        )
        folder = self._folder_of(WATCHER)
        self._watcher = Watcher(
            contracts=self._contracts[WATCHER],
            folder=folder,
            executor=make_executor(folder),
            key=self._keys[WATCHER],
            log=self._log(WATCHER),
            direct=True,
        )
        self._watcher.approve()
        self._parties: dict[str, TrainingParty] = {}

    def _path(self, who: str) -> Path:
        return self._folder / who.replace(" ", "-")

    def _folder_of(self, who: str) -> JobFolder:
        """Every party loads the job from a folder of its own, which checks it against the job id."""
        path = self._path(who) / "job"
        self._job.save(path)
        return JobFolder.load(path)

    # ---------------------------------------------------------------- training and disputes

    def _party(self, who: str, hooks: Hooks = HONEST, conduct: Conduct = FAITHFUL) -> TrainingParty:
        party = TrainingParty(
            name=who,
            contracts=self._contracts[who],
            folder=self._folder_of(who),
            path=self._path(who) / "checkpoints",
            log=self._log(who),
            hooks=hooks,
            conduct=conduct,
        )
        self._parties[who] = party
        return party

    def _train(self, party: TrainingParty, segments: int) -> None:
        party.train(segments, lambda segment: self._narrator.trained(party.name, segment))

    def _watch_until_idle(self) -> None:
        while self._watcher.step():
            pass
        if not self._watcher.idle:
            raise MismatchError("the watcher disputes an honest update; its replay and the trainer's differ")

    def _cheated(self) -> Evidence | None:
        """The cheating trainer posts, and the watcher disputes what is wrong, if anything is."""
        lie = self._cheat.prepare(self._job, step=self._step, seed=self._seed)
        party = self._party(CHEAT, lie.hooks, self._cheat.conduct)
        self._say(CHEAT, f"has, in step {self._step}: {self._cheat.text}")
        # What it has posted and not trained is nothing that it could build on.
        for segments in CHEATED[: 1 if self._cheat.conduct.posts_wrong_last else len(CHEATED)]:
            self._train(party, segments)
        if lie.decision is None:
            self._watch_until_idle()
            party.release()
            return None
        return self._dispute(party)

    def _dispute(self, party: TrainingParty) -> Evidence:
        """Both sides play by their agents until the update has fallen; time passes when nobody moves."""
        made: list[Move] = []
        for _ in range(MAX_PASSES):
            moves = self._watcher.step()
            moves += party.agent.step()
            made += moves
            if not moves and not self._let_time_pass():
                break
        view = self._watcher.view
        view.refresh()
        dispute = view.disputes(challenger=self._contracts[WATCHER].account)[0]
        decided = decision(view, self._job, made)
        if decided is None or view.update(dispute.update).status != UpdateStatus.FALLEN:
            raise MismatchError("the dispute did not end in a fall; the drill should have")
        return evidence(
            view,
            decided,
            segment=dispute.segment,
            proof=next((move for move in made if isinstance(move, Prove)), None),
            folder=self._job,
            openings=self._watcher.openings,
        )

    def explanation(self) -> str:
        """Return the dispute as an HTML page (`gavel explain`), once the story was played.

        Raises:
            UsageError: there was no fault, and so no dispute.
        """
        view = ChainView(self._deployer)
        events = view.refresh()
        disputes = view.disputes(challenger=self._contracts[WATCHER].account)
        if not disputes:
            raise UsageError("nothing was disputed, so there is nothing to explain; play another --cheat")
        facts = facts_of(
            self._deployer,
            view,
            events,
            disputes[0],
            folder=self._job,
            openings=self._watcher.openings,
        )
        return page(facts)

    def _segments_posted(self) -> int:
        view = self._watcher.view
        view.refresh()
        return sum(update.segments for update in view.chain(self._job.job.job_id))

    def _let_time_pass(self) -> bool:
        """Move the clock on until whoever is awaited is late; False when nobody is."""
        view = self._watcher.view
        view.refresh()
        moment = next_moment(
            view,
            challengers=[self._contracts[WATCHER].account],
            clocks=self._job.job.clocks,
        )
        if moment is not None:
            self._move_clock(moment + 1)
        return moment is not None

    def _move_clock(self, until: int) -> None:
        seconds = max(until - self._clients[WATCHER].now(), 1)
        self._chain.rpc("evm_increaseTime", [seconds])
        self._chain.rpc("evm_mine", [])
        self._say("clock", f"moved on by {seconds / 3600:.1f} hours")

    # ---------------------------------------------------------------- the end

    def _collect(self) -> None:
        view = self._watcher.view
        view.refresh()
        last = view.chain(self._job.job.job_id)[-1]
        self._move_clock(last.deadline + self._job.job.clocks.opening + 1)
        for party in self._parties.values():
            while party.agent.step():
                pass
        view.refresh()
        if view.credit(self._contracts[REQUESTER].account):
            send_move(self._contracts[REQUESTER], Withdraw())
        while self._watcher.step():
            pass

    def _accuracy(self) -> float:
        """Load the final state into the plain module, and ask plain PyTorch how good it is."""
        view = self._watcher.view
        view.refresh()
        last = view.chain(self._job.job.job_id)[-1]
        if last.status != UpdateStatus.FINAL or last.first_segment + last.segments != SEGMENTS:
            raise MismatchError("the last update is not final; the job should be done")
        state = self._parties[SECOND].store.load(SEGMENTS, last.states[-1])
        if state is None:
            raise MismatchError("the final state is not in the second trainer's store")
        module = model.DigitClassifier()
        load_module_state(self._job, module, state)
        return model.accuracy(module)

    def _balances(self) -> dict[str, int]:
        token = self._deployer.token
        return {who: int(token.view("balanceOf", self._contracts[who].client.address)) for who in ROLES}

    def _report(self, found: Evidence | None, before: dict[str, int], accuracy: float) -> Report:
        sent = dispute_transactions(transactions({who: c.sent for who, c in self._clients.items()}))
        after = self._balances()
        token, board = self._deployer.token, self._deployer.board
        held = int(token.view("balanceOf", board.address))
        credits_ = [int(board.view("credit", account)) for account in self._accounts()]
        rest = int(token.view("balanceOf", self._deployer.client.address))
        checkpoint = self._parties[SECOND].store.checkpoints()[-1]
        return Report(
            job=self._job.job.job_id.hex(),
            segments=SEGMENTS,
            cheat=Told(name=self._cheat.name, text=self._cheat.text, step=self._step),
            evidence=found,
            verdict=None if found is None else self._verdict(),
            dispute={
                "transactions": len(sent),
                "gas": sum(tx.gas for tx in sent),
                "each": [asdict(tx) for tx in sent],
            },
            balances={who: {"before": before[who], "after": after[who]} for who in ROLES}
            | {"burned": {"before": 0, "after": int(board.view("credit", BURN))}},
            conserved=sum(after.values()) + held + rest == int(token.view("totalSupply"))
            and held == sum(credits_),
            accuracy=accuracy,
            loss=checkpoint.losses[-1],
            seconds=self._seconds,
        )

    def _accounts(self) -> list[bytes]:
        return [*(contracts.account for contracts in self._contracts.values()), BURN]

    def _verdict(self) -> Verdict:
        view = ChainView(self._deployer)
        fallen = next(event for event in view.refresh() if event.name == "Fallen").args
        names = {contracts.account: who for who, contracts in self._contracts.items()}
        updates = view.updates(self._job.job.job_id)
        return Verdict(
            status=view.update(fallen["update"]).status.value,
            void=sum(update.status == UpdateStatus.VOID for update in updates),
            winner=names[fallen["winner"]],
            bond=self._job.job.money.update_bond,
            to_winner=fallen["to_winner"],
            burned=fallen["burned"],
            to_requester=fallen["to_requester"],
            tip=fallen["to_resolver"],
        )

    # ---------------------------------------------------------------- telling

    def _say(self, who: str, line: str) -> None:
        self._narrator.say(who, line)

    def _log(self, who: str) -> Log:
        def log(text: str, /, *, level: str = "info", **fields: object) -> None:  # noqa: ARG001  (for people)
            self._say(who, text)

        return log

    @contextmanager
    def _timed(self, name: str, title: str) -> Iterator[Any]:
        self._narrator.chapter(title)
        began = time.perf_counter()
        yield
        self._seconds[name] = round(time.perf_counter() - began, 2)
