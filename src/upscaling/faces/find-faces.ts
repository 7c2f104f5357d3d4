/** Faces in a picture by RetinaFace, as facexlib finds them (`detection/retinaface.py`, `face_restoration_helper.py`). */

import { StableDiffusionError } from '../../errors.ts';
import type { Image } from '../../image/image.ts';
import { resizeBytes } from '../../image/opencv/resize-bytes.ts';
import type { Annotator } from '../../models/annotators/annotator.ts';
import { float32, type Tensor } from '../../tensor/tensor.ts';

export type Point = readonly [x: number, y: number];

export interface Face {
  /** Left, top, right, bottom in pixels. */
  readonly box: readonly [number, number, number, number];
  readonly score: number;
  /** Eyes, nose, corners of the mouth. */
  readonly landmarks: readonly Point[];
}

/** Blue, green, red: the means of the training pictures. */
const means = [104, 117, 123] as const;
/** Of each level: pixels between places, and sides of the two boxes there. */
const levels = [
  { step: 8, sides: [16, 32] },
  { step: 16, sides: [64, 128] },
  { step: 32, sides: [256, 512] },
] as const;
const [centreVariance, sizeVariance] = [0.1, 0.2];

/** The shorter side at which faces are looked for, and the longest that is taken. */
const [workingSide, longestSide] = [640, 8192];
const leastScore = 0.97;
const overlap = 0.4;
/** Faces whose eyes are nearer are left out. */
const leastEyeDistance = 5;

/** Centre and size of each prior, in shares of the picture: as many as the network's rows. */
function* priors(width: number, height: number): Generator<readonly [number, number, number, number]> {
  for (const { step, sides } of levels)
    for (let row = 0; row < Math.ceil(height / step); row++)
      for (let column = 0; column < Math.ceil(width / step); column++)
        for (const side of sides)
          yield [((column + 0.5) * step) / width, ((row + 0.5) * step) / height, side / width, side / height];
}

interface Found {
  readonly boxes: Tensor<'float32'>;
  readonly scores: Tensor<'float32'>;
  readonly landmarks: Tensor<'float32'>;
}

/** Faces of the network's rows above a score, the surest first, in pixels of the picture that it saw. */
function decoded({ boxes, scores, landmarks }: Found, width: number, height: number): Face[] {
  const faces: Face[] = [];
  let row = 0;
  for (const [cx, cy, w, h] of priors(width, height)) {
    const i = row++;
    const score = scores.data[2 * i + 1] as number;
    if (!(score > leastScore)) continue;
    const value = (j: number): number => boxes.data[4 * i + j] as number;
    const [x, y] = [cx + value(0) * centreVariance * w, cy + value(1) * centreVariance * h];
    const [halfWidth, halfHeight] = [
      (w * Math.exp(value(2) * sizeVariance)) / 2,
      (h * Math.exp(value(3) * sizeVariance)) / 2,
    ];
    faces.push({
      box: [(x - halfWidth) * width, (y - halfHeight) * height, (x + halfWidth) * width, (y + halfHeight) * height],
      score,
      landmarks: Array.from({ length: 5 }, (_, point): Point => {
        const at = (axis: number): number => (landmarks.data[10 * i + 2 * point + axis] as number) * centreVariance;
        return [(cx + at(0) * w) * width, (cy + at(1) * h) * height];
      }),
    });
  }
  return faces.sort((a, b) => b.score - a.score);
}

/** Intersection over union. */
function likeness({ box: a }: Face, { box: b }: Face): number {
  const area = ([left, top, right, bottom]: Face['box']): number => (right - left) * (bottom - top);
  const [width, height] = [Math.min(a[2], b[2]) - Math.max(a[0], b[0]), Math.min(a[3], b[3]) - Math.max(a[1], b[1])];
  const shared = Math.max(0, width) * Math.max(0, height);
  return shared / (area(a) + area(b) - shared);
}

/** Without those that lie on a surer one. */
function distinct(faces: readonly Face[]): Face[] {
  const kept: Face[] = [];
  for (const face of faces) if (kept.every((other) => likeness(face, other) <= overlap)) kept.push(face);
  return kept;
}

function seenBy({ width, height, data }: Image<3>): Tensor<'float32'> {
  const size = width * height;
  const x = new Float32Array(3 * size);
  for (let i = 0; i < size; i++)
    for (let c = 0; c < 3; c++) x[c * size + i] = (data[3 * i + 2 - c] as number) - (means[c] as number);
  return float32([1, 3, height, width], x);
}

/** At most this many faces are looked at: each needs a run of the restoring network. */
const mostFaces = 64;

/**
 * The faces of a picture, the surest first; positions in its pixels. The network sees it with its shorter side at 640.
 * @throws `too-large` for a picture that is then too long
 */
export async function findFaces(image: Image<3>, detector: Annotator, signal?: AbortSignal): Promise<Face[]> {
  const scale = Math.min(image.width, image.height) / workingSide;
  const [width, height] = [Math.trunc(image.width / scale), Math.trunc(image.height / scale)];
  if (Math.max(width, height) > longestSide)
    throw new StableDiffusionError(
      'too-large',
      `A picture of ${image.width} x ${image.height} pixels is too long to look for faces in. Cut it into parts.`,
    );
  const sized = resizeBytes(image, width, height, 'lanczos4');
  const found = await detector.run(seenBy(sized), signal);
  const faces = distinct(decoded(found as unknown as Found, width, height)).map(
    ({ box, score, landmarks }): Face => ({
      box: box.map((side) => side * scale) as unknown as Face['box'],
      score,
      landmarks: landmarks.map(([x, y]): Point => [x * scale, y * scale]),
    }),
  );
  const eyeDistance = ({ landmarks: [left = [0, 0], right = [0, 0]] }: Face): number =>
    Math.hypot(left[0] - right[0], left[1] - right[1]);
  return faces.filter((face) => eyeDistance(face) >= leastEyeDistance).slice(0, mostFaces);
}
