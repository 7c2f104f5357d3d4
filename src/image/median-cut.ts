/**
 * Median cut as Pillow's `Image.quantize` (libImaging/Quant.c): colours in boxes that are split where half of the pixels lie on each side, the
 * fullest box first; each box becomes the mean of its pixels.
 */

/** Colours as 0xrrggbb. */
type Colour = number;

const channel = (colour: Colour, axis: number): number => (colour >> (16 - 8 * axis)) & 255;
/** How much a difference counts along red, green and blue. */
const weights = [77, 150, 29] as const;
/** A picture with more colours is counted by fewer bits of each. */
const mostColours = 65_536;

interface Box {
  /** With the pixels of each. */
  readonly colours: readonly (readonly [colour: Colour, count: number])[];
  readonly pixels: number;
  left?: Box;
  right?: Box;
}

/** Pillow's heap: which of several equally full boxes comes first follows from it. */
class BoxHeap {
  readonly #heap: Box[] = [];

  add(box: Box): void {
    const heap = this.#heap;
    let at = heap.length + 1;
    while (at !== 1) {
      const above = heap[(at >> 1) - 1] as Box;
      if (box.pixels <= above.pixels) break;
      heap[at - 1] = above;
      at >>= 1;
    }
    heap[at - 1] = box;
  }

  remove(): Box | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (!first || !last || heap.length === 0) return first;
    let at = 1;
    while (at * 2 <= heap.length) {
      let below = at * 2;
      if (below < heap.length && (heap[below - 1] as Box).pixels < (heap[below] as Box).pixels) below += 1;
      if (last.pixels > (heap[below - 1] as Box).pixels) break;
      heap[at - 1] = heap[below - 1] as Box;
      at = below;
    }
    heap[at - 1] = last;
    return first;
  }
}

/** The numbers of a channel in a box, from the highest to the lowest. */
function range({ colours }: Box, axis: number): readonly [high: number, low: number] {
  let [high, low] = [0, 255];
  for (const [colour] of colours) {
    const value = channel(colour, axis);
    high = Math.max(high, value);
    low = Math.min(low, value);
  }
  return [high, low];
}

const isSingle = (box: Box): boolean => box.colours.length === 1;

/** The axis of the largest weighted difference. */
function longestAxis(box: Box): number {
  const lengths = weights.map((weight, axis) => {
    const [high, low] = range(box, axis);
    return (high - low) * weight;
  });
  return lengths.reduce((best, length, axis) => (length > (lengths[best] as number) ? axis : best), 0);
}

/** Two boxes, the first with the higher numbers: with more than half of the pixels, and all that have the number of the last of them. */
function split(box: Box): readonly [Box, Box] {
  const axis = longestAxis(box);
  const counts = new Float64Array(256);
  for (const [colour, count] of box.colours)
    counts[channel(colour, axis)] = (counts[channel(colour, axis)] as number) + count;
  const [high, low] = range(box, axis);
  let [border, sum] = [high, 0];
  for (let value = high; value >= low; value--) {
    sum += counts[value] as number;
    border = value;
    if (sum * 2 > box.pixels) break;
  }
  // One box at least has the lowest number.
  if (border === low) border = low + 1;
  const isLeft = ([colour]: readonly [Colour, number]): boolean => channel(colour, axis) >= border;
  const make = (colours: Box['colours']): Box => ({
    colours,
    pixels: colours.reduce((all, [, count]) => all + count, 0),
  });
  return [make(box.colours.filter(isLeft)), make(box.colours.filter((one) => !isLeft(one)))];
}

/** The boxes without boxes inside, from the left. */
function leaves(root: Box): Box[] {
  const found: Box[] = [];
  const open = [root];
  for (let box = open.pop(); box; box = open.pop()) {
    if (box.left && box.right) open.push(box.right, box.left);
    else found.push(box);
  }
  return found;
}

/** Counts of the colours, by fewer bits if there are very many, and the number of bits left out. */
function countColours(pixels: Uint8Array): readonly [counts: Map<Colour, number>, shift: number] {
  let shift = 0;
  let counts = new Map<Colour, number>();
  const key = (colour: Colour): Colour =>
    ((channel(colour, 0) >> shift) << 16) | ((channel(colour, 1) >> shift) << 8) | (channel(colour, 2) >> shift);
  for (let i = 0; i < pixels.length; i += 3) {
    const colour = ((pixels[i] as number) << 16) | ((pixels[i + 1] as number) << 8) | (pixels[i + 2] as number);
    const own = key(colour);
    counts.set(own, (counts.get(own) ?? 0) + 1);
    while (counts.size > mostColours) {
      shift += 1;
      const fewer = new Map<Colour, number>();
      for (const [before, count] of counts) {
        const after = ((channel(before, 0) >> 1) << 16) | ((channel(before, 1) >> 1) << 8) | (channel(before, 2) >> 1);
        fewer.set(after, (fewer.get(after) ?? 0) + count);
      }
      counts = fewer;
    }
  }
  return [counts, shift];
}

/** At most `count` colours for pixels [n, 3]: [m, 3]. */
export function medianCut(pixels: Uint8Array, count: number): Uint8Array {
  const [counts, shift] = countColours(pixels);
  const root: Box = { colours: [...counts], pixels: pixels.length / 3 };
  const heap = new BoxHeap();
  heap.add(root);
  for (let left = count - 1; left > 0; left--) {
    let box = heap.remove();
    while (box && isSingle(box)) box = heap.remove();
    if (!box) break;
    [box.left, box.right] = split(box);
    heap.add(box.left);
    heap.add(box.right);
  }
  const boxes = leaves(root);
  const boxOf = new Map(boxes.flatMap(({ colours }, i) => colours.map(([colour]) => [colour, i] as const)));
  const sums = new Float64Array(boxes.length * 4);
  for (let i = 0; i < pixels.length; i += 3) {
    const parts = [pixels[i], pixels[i + 1], pixels[i + 2]] as [number, number, number];
    const own = ((parts[0] >> shift) << 16) | ((parts[1] >> shift) << 8) | (parts[2] >> shift);
    const at = (boxOf.get(own) ?? 0) * 4;
    for (const [c, part] of parts.entries()) sums[at + c] = (sums[at + c] as number) + part;
    sums[at + 3] = (sums[at + 3] as number) + 1;
  }
  return Uint8Array.from({ length: boxes.length * 3 }, (_, i) => {
    const at = Math.floor(i / 3) * 4;
    return Math.floor(0.5 + (sums[at + (i % 3)] as number) / (sums[at + 3] as number));
  });
}
