/** The map that brings a face to its place in a square, as `cv2.estimateAffinePartial2D(…, LMEDS)` finds it: rotation, scale and shift. */

import type { Affine } from '../../image/opencv/warp-affine.ts';
import type { Point } from './find-faces.ts';

/** Eyes, nose and corners of the mouth in FFHQ's pictures of 512 pixels. */
const template: readonly Point[] = [
  [192.98138, 239.94708],
  [318.90277, 240.1936],
  [256.63416, 314.01935],
  [201.26117, 371.41043],
  [313.08905, 371.15118],
];

/** The similarity with the least sum of squares: [a, -b, c, b, a, d]. */
function leastSquares(from: readonly Point[], to: readonly Point[]): Affine {
  const count = from.length;
  const mean = (points: readonly Point[], axis: 0 | 1): number =>
    points.reduce((sum, point) => sum + point[axis], 0) / count;
  const [fx, fy, tx, ty] = [mean(from, 0), mean(from, 1), mean(to, 0), mean(to, 1)];
  let [same, crossed, size] = [0, 0, 0];
  for (const [i, [x, y]] of from.entries()) {
    const [u, v] = to[i] as Point;
    const [dx, dy, du, dv] = [x - fx, y - fy, u - tx, v - ty];
    same += dx * du + dy * dv;
    crossed += dx * dv - dy * du;
    size += dx * dx + dy * dy;
  }
  const [a, b] = size === 0 ? [1, 0] : [same / size, crossed / size];
  return [a, -b, tx - a * fx + b * fy, b, a, ty - b * fx - a * fy];
}

const squaredError = ([a, b, c, d, e, f]: Affine, [x, y]: Point, [u, v]: Point): number =>
  (a * x + b * y + c - u) ** 2 + (d * x + e * y + f - v) ** 2;

/** Least median of squares over all pairs of points, and least squares over what then counts as fitting. */
export function alignment(landmarks: readonly Point[], side: number): Affine {
  const places = template.map(([x, y]): Point => [(x * side) / 512, (y * side) / 512]);
  const errorsOf = (matrix: Affine): number[] =>
    landmarks.map((point, i) => squaredError(matrix, point, places[i] as Point));
  let best: { readonly matrix: Affine; readonly median: number } | undefined;
  for (let i = 0; i < landmarks.length; i++)
    for (let j = i + 1; j < landmarks.length; j++) {
      const pick = (points: readonly Point[]): Point[] => [points[i] as Point, points[j] as Point];
      const matrix = leastSquares(pick(landmarks), pick(places));
      const median = errorsOf(matrix).toSorted((a, b) => a - b)[landmarks.length >> 1] as number;
      if (!best || median < best.median) best = { matrix, median };
    }
  if (!best) return leastSquares(landmarks, places);
  const limit = Math.max(2.5 * 1.4826 * (1 + 5 / (landmarks.length - 2)) * Math.sqrt(best.median), 0.001) ** 2;
  const fits = errorsOf(best.matrix).map((error) => error <= limit);
  const kept = (points: readonly Point[]): Point[] => points.filter((_, i) => fits[i]);
  return leastSquares(kept(landmarks), kept(places));
}
