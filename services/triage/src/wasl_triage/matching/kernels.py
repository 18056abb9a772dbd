# SPDX-License-Identifier: Apache-2.0
"""The loops that Python cannot do: compiled by numba at first use, without the interpreter's lock.

Sixteen candidates are compared at once: their sketches lie in blocks of 16 lanes, which LLVM turns
into whatever the processor has (VPOPCNTD where there is AVX-512). Nothing here trusts a file: a row
number beyond the table is skipped, and offsets are checked by whoever opens the file.
"""

import logging
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic as untyped_intrinsic

log = logging.getLogger(__name__)
FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])

#: A 256-bit hash is cut into so many chunks of 16 bits; each has an index of its own.
CHUNKS = 16
#: Candidates of a block, and 32-bit words of a sketch: 192 bytes, three cache lines.
LANES, WORDS = 16, 3
BLOCK_BYTES = LANES * WORDS * 4
#: Words of the hash a sketch holds, counted from the word the chunk is in; never that one itself.
SKETCH = (1, 3, 6)
#: Runs looked up before they are read, so that memory answers while others are compared.
AHEAD = 12
#: What starting a run costs, in candidates.
RUN_COST = 24
#: Buckets within 0, 1 and 2 bits of a chunk.
RUNS = (1, 17, 137)


#: Both libraries say too little, or the wrong thing, about the types of what they make.
_function: Any = cgutils.get_or_insert_function
intrinsic: Callable[[Callable[..., Any]], Any] = untyped_intrinsic


def compiled(function: FunctionT) -> FunctionT:
    """Compiled once a machine where a cache can be written, else once a process."""
    made: Any
    try:
        made = njit(nogil=True, cache=True)(function)
    except RuntimeError:  # numba's word for: no place to cache in
        log.info("compiled code is not kept: no directory for it can be written")
        made = njit(nogil=True)(function)
    same: FunctionT = made  # called as the function it stands for
    return same


@intrinsic
def near(_context: Any, _a: Any, _q0: Any, _q1: Any, _q2: Any, _limit: Any) -> Any:
    """Which of the 16 candidates of the block at an address differ in ``limit`` bits at most.

    Bit i of the answer is lane i. Only the sketches are compared.
    """
    word = types.uint32
    signature = types.uint64(types.intp, word, word, word, word)

    def generate(_target: Any, builder: Any, _signature: Any, args: Any) -> Any:
        address, *query, limit = args
        i32 = ir.IntType(32)
        lanes = ir.VectorType(i32, LANES)
        blank, zeros = ir.Constant(lanes, ir.Undefined), ir.Constant(lanes, [0] * LANES)

        def everywhere(value: Any) -> Any:
            first = builder.insert_element(blank, value, ir.Constant(i32, 0))
            return builder.shuffle_vector(first, blank, zeros)

        count = _function(
            builder.module, ir.FunctionType(lanes, [lanes]), f"llvm.ctpop.v{LANES}i32"
        )
        block = builder.inttoptr(address, lanes.as_pointer())
        total = zeros
        for number, value in enumerate(query):
            stored = builder.load(
                builder.gep(block, [ir.Constant(ir.IntType(64), number)]), align=4
            )
            differing = builder.call(count, [builder.xor(stored, everywhere(value))])
            total = builder.add(total, differing)
        mask = builder.icmp_unsigned("<=", total, everywhere(limit))
        return builder.zext(builder.bitcast(mask, ir.IntType(LANES)), ir.IntType(64))

    return signature, generate


@intrinsic
def ones(_context: Any, _value: Any) -> Any:
    """How many bits of a 64-bit word are set."""

    def generate(_target: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.ctpop(args[0])

    return types.uint64(types.uint64), generate


@intrinsic
def fetch(_context: Any, _address: Any) -> Any:
    """Ask memory for the line at an address, and go on. An address that is none does no harm."""

    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        byte, i32 = ir.IntType(8).as_pointer(), ir.IntType(32)
        function = _function(
            builder.module,
            ir.FunctionType(ir.VoidType(), [byte, i32, i32, i32]),
            "llvm.prefetch.p0",
        )
        read, keep, data = (ir.Constant(i32, n) for n in (0, 3, 1))
        builder.call(function, [builder.inttoptr(args[0], byte), read, keep, data])
        return context.get_dummy_value()

    return types.void(types.intp), generate


@compiled
def fill(  # noqa: PLR0917  numba knows no keywords
    chunks: Any, words: Any, k: int, offsets: Any, sketch: Any, ids: Any
) -> None:
    """Sort the hashes into the buckets of chunk ``k``.

    ``chunks``: uint16[n, 16] and ``words``: uint32[n, 8], both of the same hashes. Written are
    ``offsets``: uint32[65537], ``sketch``: uint32[blocks, 3, 16] and ``ids``: uint32[n].
    """
    n = chunks.shape[0]
    place = np.zeros(65537, np.uint32)
    for i in range(n):
        place[np.int64(chunks[i, k]) + 1] += np.uint32(1)
    for i in range(65536):
        place[i + 1] += place[i]
    offsets[:] = place
    first = k // 2
    for i in range(n):
        bucket = chunks[i, k]
        p = np.int64(place[bucket])
        place[bucket] += np.uint32(1)
        ids[p] = i
        block, lane = p // LANES, p % LANES
        for number, shift in enumerate(SKETCH):
            sketch[block, number, lane] = words[i, (first + shift) % 8]


@compiled
def _plan(chunk: Any, offsets: Any, n: int, limit: int, radius: Any) -> None:
    """How many bits each chunk may differ, so that nothing within ``limit`` bits is missed.

    Radii count -1 (not looked at), 0, 1, 2. A hash missed by every chunk differs in at least
    radius + 1 bits of each, so the sum of these must be above ``limit``: the pigeonhole principle
    (general form: Qin et al., GPH, ICDE 2018). Usual hashes take 1 everywhere. Where buckets are
    crowded, the cheapest radii of all, by the sizes of the very buckets; where even those cost more
    than the whole table, radius[0] is 16: every bucket of chunk 0.
    """
    cost = np.zeros((CHUNKS, 4), np.int64)
    total = 0
    for k in range(CHUNKS):
        value = np.int64(chunk[k])
        size = np.int64(offsets[k, value + 1]) - np.int64(offsets[k, value])
        cost[k, 1] = size + RUN_COST
        for bit in range(16):
            other = value ^ (1 << bit)
            size += np.int64(offsets[k, other + 1]) - np.int64(offsets[k, other])
        cost[k, 2] = size + 17 * RUN_COST
        total += cost[k, 2]
        radius[k] = 1
    usual = CHUNKS * 17 * (n // 65536 + RUN_COST)
    if total > 2 * usual:
        for k in range(CHUNKS):
            value = np.int64(chunk[k])
            size = cost[k, 2] + 120 * RUN_COST
            for high in range(1, 16):
                for low in range(high):
                    other = value ^ (1 << high) ^ (1 << low)
                    size += np.int64(offsets[k, other + 1]) - np.int64(offsets[k, other])
            cost[k, 3] = size
        need = limit + 1
        best = np.full(need + 1, np.int64(1) << 60)
        best[0] = 0
        chosen = np.zeros((CHUNKS, need + 1), np.int64)
        for k in range(CHUNKS):
            after = np.full(need + 1, np.int64(1) << 60)
            for had in range(need + 1):
                for take in range(4):
                    gets = min(need, had + take)
                    price = best[had] + cost[k, take]
                    if price < after[gets]:
                        after[gets] = price
                        chosen[k, gets] = had * 4 + take
            best = after
        total = best[need]
        at = need
        for k in range(CHUNKS - 1, -1, -1):
            radius[k] = chosen[k, at] % 4 - 1
            at = chosen[k, at] // 4
    if total >= n:
        radius[:] = -1
        radius[0] = 16


@compiled
def _runs(chunk: Any, offsets: Any, radius: Any, n: int, runs: Any) -> int:
    """The stretches of the tables to read: (chunk, first, end, differing bits); how many."""
    if radius[0] == 16:
        runs[0, 0], runs[0, 1], runs[0, 2], runs[0, 3] = 0, 0, n, 0
        return 1
    count = 0
    for k in range(CHUNKS):
        reach = radius[k]
        if reach < 0:
            continue
        value = np.int64(chunk[k])
        for high in range(-1, 16):
            if high >= 0 and reach < 1:
                break
            one = value if high < 0 else value ^ (1 << high)
            for low in range(-1, max(high, 0) if reach > 1 else 0):
                bucket = one if low < 0 else one ^ (1 << low)
                first, end = np.int64(offsets[k, bucket]), np.int64(offsets[k, bucket + 1])
                if first < end:
                    runs[count, 0], runs[count, 1], runs[count, 2] = k, first, end
                    runs[count, 3] = (1 if high >= 0 else 0) + (1 if low >= 0 else 0)
                    count += 1
    return count


@compiled
def _ask(address: int, stride: int, runs: Any, r: int) -> None:
    base = address + runs[r, 0] * stride
    # A long run is followed by the processor itself once it has begun.
    last = min((runs[r, 2] + LANES - 1) // LANES, runs[r, 1] // LANES + 32)
    for block in range(runs[r, 1] // LANES, last):
        line = base + block * BLOCK_BYTES
        fetch(line)
        fetch(line + 64)
        fetch(line + 128)


@compiled
def search(  # noqa: PLR0917  numba knows no keywords
    hashes: Any,
    offsets: Any,
    ids: Any,
    sketch: Any,
    queries: Any,
    limit: int,
    out: Any,
) -> int:
    """Every hash within ``limit`` (at most 31) bits of each query, each once, in no order.

    ``hashes``: uint64[n, 4], ``queries``: uint64[q, 4]; ``offsets``, ``ids``, ``sketch`` as
    :func:`fill` writes them for each chunk. No offsets (a length of 0): the sketches are those of
    chunk 0 in the order of the rows, and all are read. ``out``: int64[room, 3] gets (query, row,
    distance). Returns how many there are; more than the room, and the rest is not written.
    """
    n = hashes.shape[0]
    flat = offsets.shape[0] == 0
    address = sketch.ctypes.data
    stride = sketch.shape[1] * BLOCK_BYTES
    runs = np.empty((CHUNKS * 137, 4), np.int64)
    radius = np.empty(CHUNKS, np.int64)
    chunk = np.empty(CHUNKS, np.int64)
    word = np.empty(8, np.uint32)
    found = 0
    for q in range(queries.shape[0]):
        for k in range(CHUNKS):
            shifted = queries[q, k // 4] >> np.uint64(16 * (k % 4))
            chunk[k] = np.int64(shifted & np.uint64(0xFFFF))
        for w in range(8):
            word[w] = np.uint32(
                (queries[q, w // 2] >> np.uint64(32 * (w % 2))) & np.uint64(0xFFFFFFFF)
            )
        if flat:
            radius[:] = -1
            radius[0] = 16
        else:
            _plan(chunk, offsets, n, limit, radius)
        count = _runs(chunk, offsets, radius, n, runs)
        for r in range(min(AHEAD, count)):
            _ask(address, stride, runs, r)
        for r in range(count):
            if r + AHEAD < count:
                _ask(address, stride, runs, r + AHEAD)
            k, first, end, off = runs[r, 0], runs[r, 1], runs[r, 2], runs[r, 3]
            if off > limit:
                continue
            base = address + k * stride
            q0 = word[(k // 2 + SKETCH[0]) % 8]
            q1 = word[(k // 2 + SKETCH[1]) % 8]
            q2 = word[(k // 2 + SKETCH[2]) % 8]
            # The sketch holds no bit of its chunk: what differs there comes on top.
            room = np.uint32(limit - off)
            for block in range(first // LANES, (end + LANES - 1) // LANES):
                mask = near(base + block * BLOCK_BYTES, q0, q1, q2, room)
                while mask:
                    rest = mask & (mask - np.uint64(1))
                    lane = np.int64(ones((mask ^ rest) - np.uint64(1)))
                    mask = rest
                    p = block * LANES + lane
                    if p < first or p >= end:
                        continue  # a neighbour in the block, of another bucket
                    row = p if flat else np.int64(ids[k, p])
                    if row >= n:
                        continue
                    distance = np.int64(0)
                    for w in range(4):
                        distance += np.int64(ones(hashes[row, w] ^ queries[q, w]))
                    if distance > limit:
                        continue
                    again = False
                    for j in range(k):
                        if radius[j] >= 0:
                            shift = np.uint64(16 * (j % 4))
                            there = (hashes[row, j // 4] ^ queries[q, j // 4]) >> shift
                            if np.int64(ones(there & np.uint64(0xFFFF))) <= radius[j]:
                                again = True  # chunk j has told of it
                                break
                    if again:
                        continue
                    if found < out.shape[0]:
                        out[found, 0], out[found, 1], out[found, 2] = q, row, distance
                    found += 1
    return found


@compiled
def difference(a: Any, b: Any, only_a: Any, only_b: Any) -> None:
    """Mark the rows one of two sorted tables (uint8[n, width], unique) has and the other has not.

    ``only_a``, ``only_b``: bool[n], written.
    """
    i = j = 0
    width = a.shape[1]
    while i < a.shape[0] or j < b.shape[0]:
        order = 0
        if i == a.shape[0]:
            order = 1
        elif j == b.shape[0]:
            order = -1
        else:
            for w in range(width):
                if a[i, w] != b[j, w]:
                    order = -1 if a[i, w] < b[j, w] else 1
                    break
        if order <= 0:
            only_a[i] = order < 0
            i += 1
        if order >= 0:
            only_b[j] = order > 0
            j += 1
