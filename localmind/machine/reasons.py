"""Why a plan is as it is: a sentence for each choice, with its bytes, for people.

It explains what plan.py decided and decides nothing itself. Every sentence names a number that can be checked.
"""

from collections.abc import Iterator, Mapping

from localmind.machine.amounts import RAM, Bytes
from localmind.machine.devices import Machine
from localmind.machine.plan import LEAST_CELLS, Plan, Wishes
from localmind.machine.sizes import STATES, KvType, ModelFacts, kv_bytes, padded, size, weights


def explain(
    plan: Plan, machine: Machine, facts: ModelFacts, wishes: Wishes, free: Bytes, draft: ModelFacts | None
) -> tuple[str, ...]:
    """In the order in which a reader asks: where, how much context, how it computes, how it is loaded."""
    return (
        *_where(plan, machine, facts, wishes, free),
        *_context(plan, facts, wishes, free),
        *_computing(plan, machine, facts, wishes),
        *_loading(plan, free),
        *_drafting(plan, draft),
    )


def _where(plan: Plan, machine: Machine, facts: ModelFacts, wishes: Wishes, free: Bytes) -> Iterator[str]:
    gpus = machine.usable_gpus(wishes.backends)
    host, main = plan.need[0], size(free.get(RAM, 0))
    if plan.short:
        yield (
            f"this model does not fit: it needs {size(host.total)} of main memory, of which {main} can be used, "
            "so it will be read from the disk again and again and be slow"
        )
    if plan.layers:
        yield from _on_gpus(plan, {gpu.id: gpu.name for gpu in gpus}, facts, wishes, free)
    elif wishes.gpu_layers == 0 and gpus:
        yield "no layers on the GPU as you asked"
    elif gpus and gpus[0].unified:
        yield (
            f"not on {gpus[0].name}: of the main memory that it shares {size(free.get(gpus[0].id, 0))} can be used, "
            f"and all layers with their context do not fit there, {size(weights(facts))} of weights"
        )
    elif gpus:
        yield (
            f"not on {gpus[0].name}: {size(free.get(gpus[0].id, 0))} of its memory can be used, "
            "too little for a layer with its context"
        )
    else:
        yield f"on the processor: {size(host.weights)} of weights in main memory, where {main} can be used"
    idle = [gpu for gpu in machine.gpus if gpu not in gpus]
    if idle:
        why = idle[0].problem or f"the installed engine is built without {idle[0].backend}"
        yield f"{idle[0].name} is not used: {why} (`localmind doctor` names what helps)"


def _on_gpus(plan: Plan, names: Mapping[str, str], facts: ModelFacts, wishes: Wishes, free: Bytes) -> Iterator[str]:
    every = facts.n_layers + 1
    whole = "all layers" if plan.n_gpu_layers == every else f"{plan.n_gpu_layers} of {every} layers"
    if wishes.gpu_layers is not None:
        kept = plan.n_gpu_layers == min(every, wishes.gpu_layers)
        whole += " as you asked" if kept else f" instead of the {wishes.gpu_layers} you asked for"
    parts = [
        f"{count} on {names[need.device]}, {size(need.weights)} of weights, where {size(free.get(need.device, 0))} "
        "can be used"
        for count, need in zip(plan.layers, plan.need[1:], strict=True)
    ]
    yield f"{whole} on the GPU (the output counts as one): {'; '.join(parts)}"
    if plan.n_gpu_layers < every:
        rest = size(plan.need[0].weights)
        yield f"the other {every - plan.n_gpu_layers} layers and the embeddings stay in main memory, {rest}"
    if plan.cpu_experts:
        yield (
            f"the experts of the first {plan.cpu_experts} layers stay in main memory, "
            f"{size(sum(facts.expert_bytes[: plan.cpu_experts]))}: a token uses few of them, so the GPU is worth more "
            "to attention and context"
        )


def _context(plan: Plan, facts: ModelFacts, wishes: Wishes, free: Bytes) -> Iterator[str]:
    held = sum(need.kv for need in plan.need)
    each = min(plan.n_ctx, plan.n_ctx_seq or facts.ctx_train)
    asked = wishes.n_ctx
    if asked is not None and plan.n_ctx < asked:
        more = size(padded(asked) * kv_bytes(facts, plan.kv_type))
        yield (
            f"{plan.n_ctx} cells of context, {size(held)}, instead of the {asked} asked for, which take {more} beside "
            f"{size(weights(facts))} of weights"
        )
    elif asked is None and plan.n_ctx <= LEAST_CELLS:
        yield f"only {plan.n_ctx} cells of context, {size(held)}: {size(free.get(RAM, 0))} of main memory can be used"
    else:
        wanted = " as you asked" if asked is not None else ""
        yield f"{plan.n_ctx} cells of context{wanted}, {size(held)}, shared by streams of up to {each} tokens"
    if plan.n_ctx_seq:
        yield (
            f"streams of up to {plan.n_ctx_seq} tokens as you asked, {plan.n_ctx_seq / facts.ctx_train:.1f} times what "
            "the model was trained for: positions are stretched, and answers get a little worse"
        )
    if 0 < plan.n_gpu_layers <= facts.n_layers and asked is None:
        half = size(held / 2)
        yield f"half the context ({plan.n_ctx // 2}) would take {half} less, and leave room for more layers"
    state = 4 * STATES * sum(facts.state_values)
    if state:
        yield f"layers without attention keep a state for {STATES} conversations, {size(state)}, however long they are"
    if facts.window:
        yield (
            f"layers that look back on {facts.window} tokens keep all of them even so: any beginning of an earlier "
            "conversation can then be used again"
        )
    if kv_bytes(facts):
        other: KvType = "q8_0" if plan.kv_type == "f16" else "f16"
        there = size(padded(plan.n_ctx) * kv_bytes(facts, other))
        why = ", which costs no quality" if plan.kv_type == "f16" else " as you asked"
        yield f"keys and values in {plan.kv_type}{why}; {other} would take {there} (`kv_type` in settings.toml)"


def _computing(plan: Plan, machine: Machine, facts: ModelFacts, wishes: Wishes) -> Iterator[str]:
    if plan.cpu_experts and plan.n_ubatch > 512:
        why = "experts in main memory are fetched once a piece, so pieces are large"
    elif plan.n_batch > plan.n_ubatch:
        why = "the GPU works on one piece while the next is made ready"
    else:
        why = "small, since memory is" if plan.n_ubatch < 512 else "larger ones bring a processor nothing"
    scratch = size(sum(need.compute for need in plan.need))
    yield f"batches of {plan.n_batch} tokens in pieces of {plan.n_ubatch}, {scratch} of scratch memory: {why}"
    scores = size(4.0 * facts.n_heads * plan.n_ubatch * plan.n_ctx)
    if kv_bytes(facts):
        needs = "; a quantised cache needs it" if plan.kv_type != "f16" else ""
        if plan.flash_attn and not needs:
            needs = ", asked for since llama.cpp leaves it out where layers are on two kinds of device"
        yield f"flash attention, which does without {scores} for scores{needs}"
    if wishes.threads:
        yield f"{plan.n_threads} threads as you asked"
    elif plan.n_threads < machine.cores:
        yield f"{plan.n_threads} threads of {machine.cores} cores: the GPU computes, they only feed it"
    else:
        fast = f", {machine.cores_fast} of them fast" if machine.cores_fast else ""
        yield f"{plan.n_threads} threads: {machine.cores_physical} cores{fast}, {machine.cores_usable} usable"


def _loading(plan: Plan, free: Bytes) -> Iterator[str]:
    if plan.use_mmap:
        yield "weights are mapped from the file: under pressure the system drops pages and reads them again, no swap"
    else:
        yield "weights are read into memory, not mapped"
    if plan.use_mlock:
        yield "and they are locked there as you asked: nothing else gets that memory"
    elif plan.need[0].weights * 4 > free.get(RAM, 0) * 3 and not plan.short:
        yield "and not locked there, which other programs would pay for: main memory is nearly full"


def _drafting(plan: Plan, draft: ModelFacts | None) -> Iterator[str]:
    if draft is not None:
        where = "on the GPU" if plan.draft_on_gpu else "in main memory"
        cells = int(padded(plan.n_ctx) * kv_bytes(draft, plan.kv_type))
        yield f"the draft model is {where}: {size(weights(draft))} of weights, {size(cells)} for as many cells"
