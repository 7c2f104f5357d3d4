/**
 * People from heat maps of joints and part affinity fields (Cao et al. 2017, arXiv 1611.08050, sections 2.2 to 2.4), with the constants that
 * control networks for poses were trained with.
 */

import type { Tensor } from '../tensor/tensor.ts';
import { resizeOpencv } from '../image/opencv/resize-floats.ts';

/** A joint that was found: position in pixels, score, and its number among all. */
export interface Joint {
  readonly x: number;
  readonly y: number;
  readonly score: number;
  readonly id: number;
}

/** A person: for each of 18 joints the id of the one found or -1, the sum of scores, the number of parts. */
export interface Person {
  readonly joints: readonly number[];
  readonly score: number;
  readonly parts: number;
}

export const jointCount = 18;

/** Joints that a limb connects, and the two planes of its affinity field. The last two (shoulder to ear) are not drawn and found no person. */
export const limbs: readonly (readonly [from: number, to: number, fieldX: number])[] = [
  [1, 2, 12],
  [1, 5, 20],
  [2, 3, 14],
  [3, 4, 16],
  [5, 6, 22],
  [6, 7, 24],
  [1, 8, 0],
  [8, 9, 2],
  [9, 10, 4],
  [1, 11, 6],
  [11, 12, 8],
  [12, 13, 10],
  [1, 0, 28],
  [0, 14, 30],
  [14, 16, 34],
  [0, 15, 32],
  [15, 17, 36],
  [2, 16, 18],
  [5, 17, 26],
];

const drawnLimbs = 17;

interface Size {
  readonly width: number;
  readonly height: number;
}

/** One plane of a network's output at the picture's size: eight times larger, cut to the part that is no padding, then resized. */
function planeAt(map: Tensor<'float32'>, plane: number, network: Size, picture: Size): Float32Array {
  const [, , height = 1, width = 1] = map.shape;
  const size = width * height;
  const data = (map.data as Float32Array).slice(plane * size, (plane + 1) * size);
  const grown = resizeOpencv({ width, height, channels: 1, data }, 8 * width, 8 * height, 'lanczos4');
  const cut = new Float32Array(network.width * network.height);
  for (let y = 0; y < network.height; y++)
    cut.set(grown.data.subarray(y * grown.width, y * grown.width + network.width), y * network.width);
  const shrinks = picture.width + picture.height < network.width + network.height;
  return resizeOpencv(
    { ...network, channels: 1, data: cut },
    picture.width,
    picture.height,
    shrinks ? 'area' : 'lanczos4',
  ).data;
}

/** Gaussian blur of sigma 3 within 12 pixels, edges repeated and mirrored (scipy's `gaussian_filter`), in float64. */
function blurred(data: Float32Array, { width, height }: Size): Float64Array {
  const raw = Array.from({ length: 25 }, (_, i) => Math.exp(-((i - 12) ** 2) / 18));
  const total = raw.reduce((sum, weight) => sum + weight, 0);
  const place = (i: number, length: number): number => {
    const at = ((i % (2 * length)) + 2 * length) % (2 * length);
    return at < length ? at : 2 * length - 1 - at;
  };
  const pass = (from: Float32Array | Float64Array, length: number, stride: number): Float64Array =>
    Float64Array.from(from, (_, i) => {
      const position = Math.floor(i / stride) % length;
      const base = i - position * stride;
      let sum = 0;
      for (const [k, weight] of raw.entries())
        sum += (weight / total) * (from[base + place(position + k - 12, length) * stride] as number);
      return sum;
    });
  return pass(pass(data, height, width), width, 1);
}

const leastPeak = 0.1;

/** Peaks of each joint's heat map, row by row. */
function findJoints(heat: Tensor<'float32'>, network: Size, picture: Size): Joint[][] {
  const { width, height } = picture;
  let id = 0;
  return Array.from({ length: jointCount }, (_, part) => {
    const scores = planeAt(heat, part, network, picture);
    const soft = blurred(scores, picture);
    const found: Joint[] = [];
    for (let y = 0, i = 0; y < height; y++)
      for (let x = 0; x < width; x++, i++) {
        const here = soft[i] as number;
        const beside = (step: number, inside: boolean): number => (inside ? (soft[i + step] as number) : 0);
        const around = Math.max(
          beside(-width, y > 0),
          beside(width, y < height - 1),
          beside(-1, x > 0),
          beside(1, x < width - 1),
        );
        if (here > leastPeak && here >= around) found.push({ x, y, score: scores[i] as number, id: id++ });
      }
    return found;
  });
}

interface Connection {
  readonly from: Joint;
  readonly to: Joint;
  readonly score: number;
}

/** Halves to the even number, as Python's `round`. */
function pythonRound(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 !== 0) ? floor + 1 : floor;
}

const samples = 10;

/** How well the affinity field leads from one joint to another; undefined where it does not. */
function alignment(
  from: Joint,
  to: Joint,
  field: readonly [Float32Array, Float32Array],
  { width, height }: Size,
): number | undefined {
  const [dx, dy] = [to.x - from.x, to.y - from.y];
  const length = Math.max(0.001, Math.sqrt(dx * dx + dy * dy));
  let [sum, good] = [0, 0];
  for (let i = 0; i < samples; i++) {
    const along = (start: number, end: number): number =>
      i === samples - 1 ? end : start + i * ((end - start) / (samples - 1));
    const at = pythonRound(along(from.y, to.y)) * width + pythonRound(along(from.x, to.x));
    const score = ((field[0][at] as number) * dx) / length + ((field[1][at] as number) * dy) / length;
    sum += score;
    if (score > 0.05) good++;
  }
  const total = sum / samples + Math.min((0.5 * height) / length - 1, 0);
  return good > 0.8 * samples && total > 0 ? total : undefined;
}

/** The best pairs of one limb: no joint twice. */
function connect(
  from: readonly Joint[],
  to: readonly Joint[],
  field: readonly [Float32Array, Float32Array],
  size: Size,
): Connection[] {
  const candidates = from.flatMap((a) =>
    to.flatMap((b) => {
      const score = alignment(a, b, field, size);
      return score === undefined ? [] : [{ from: a, to: b, score }];
    }),
  );
  candidates.sort((a, b) => b.score - a.score);
  const chosen: Connection[] = [];
  for (const candidate of candidates) {
    if (chosen.some((one) => one.from === candidate.from || one.to === candidate.to)) continue;
    chosen.push(candidate);
    if (chosen.length >= Math.min(from.length, to.length)) break;
  }
  return chosen;
}

interface Draft {
  joints: number[];
  score: number;
  parts: number;
}

/** Adds a connection of limb `limb` to the people so far. */
function place(people: Draft[], { from, to, score }: Connection, limb: number): void {
  const [a, b] = limbs[limb] as readonly [number, number, number];
  const touching = people.filter(({ joints }) => joints[a] === from.id || joints[b] === to.id).slice(0, 2);
  const [first, second] = touching;
  const extend = (person: Draft): void => {
    person.joints[b] = to.id;
    person.parts++;
    person.score += to.score + score;
  };
  if (first && second) {
    const disjoint = first.joints.every((joint, i) => joint < 0 || (second.joints[i] as number) < 0);
    if (!disjoint) {
      extend(first);
      return;
    }
    first.joints = first.joints.map((joint, i) => joint + (second.joints[i] as number) + 1);
    first.parts += second.parts;
    first.score += second.score + score;
    people.splice(people.indexOf(second), 1);
  } else if (first) {
    if (first.joints[b] !== to.id) extend(first);
  } else if (limb < drawnLimbs) {
    const joints = new Array<number>(jointCount).fill(-1);
    joints[a] = from.id;
    joints[b] = to.id;
    people.push({ joints, score: from.score + to.score + score, parts: 2 });
  }
}

export interface FoundPeople {
  readonly joints: readonly Joint[];
  readonly people: readonly Person[];
}

/**
 * People in a picture. `heat` [1, 19, h, w] and `paf` [1, 38, h, w] come from a picture of the size `network`, padded to multiples of 8.
 * A person has at least four parts, with a mean score of 0.4.
 */
export function findPeople(heat: Tensor<'float32'>, paf: Tensor<'float32'>, network: Size, picture: Size): FoundPeople {
  const joints = findJoints(heat, network, picture);
  const people: Draft[] = [];
  for (const [i, [from, to, x]] of limbs.entries()) {
    const [a, b] = [joints[from] ?? [], joints[to] ?? []];
    if (a.length === 0 || b.length === 0) continue;
    const field = [planeAt(paf, x, network, picture), planeAt(paf, x + 1, network, picture)] as const;
    for (const connection of connect(a, b, field, picture)) place(people, connection, i);
  }
  return {
    joints: joints.flat(),
    people: people.filter(({ parts, score }) => parts >= 4 && score / parts >= 0.4),
  };
}
