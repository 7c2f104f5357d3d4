/** Lines, filled circles, ellipses and convex polygons as OpenCV 4.11 draws them without antialiasing (modules/imgproc/src/drawing.cpp). */

import type { Image } from '../image.ts';
import { roundHalfToEven } from './resize-bytes.ts';

export interface Point {
  readonly x: number;
  readonly y: number;
}

export type Colour = readonly [number, number, number];

function dot({ width, height, data }: Image<3>, x: number, y: number, colour: Colour): void {
  if (x >= 0 && y >= 0 && x < width && y < height) data.set(colour, (y * width + x) * 3);
}

function row(image: Image<3>, y: number, from: number, to: number, colour: Colour): void {
  for (let x = Math.max(0, from); x <= Math.min(to, image.width - 1); x++) dot(image, x, y, colour);
}

/** The part of a line inside the picture (Cohen & Sutherland's codes), or undefined. */
function clipLine({ width, height }: Image, from: Point, to: Point): [Point, Point] | undefined {
  const [right, bottom] = [width - 1, height - 1];
  const side = ({ x }: Point): number => (x < 0 ? 1 : x > right ? 2 : 0);
  const code = (p: Point): number => side(p) + (p.y < 0 ? 4 : p.y > bottom ? 8 : 0);
  let [a, b] = [from, to];
  let [ca, cb] = [code(a), code(b)];
  const open = (): boolean => (ca & cb) === 0 && (ca | cb) !== 0;
  const toRow = (p: Point, mark: number): Point => {
    const y = mark < 8 ? 0 : bottom;
    return { x: p.x + Math.trunc(((y - p.y) * (b.x - a.x)) / (b.y - a.y)), y };
  };
  const toColumn = (p: Point, mark: number): Point => {
    const x = mark === 1 ? 0 : right;
    return { x, y: p.y + Math.trunc(((x - p.x) * (b.y - a.y)) / (b.x - a.x)) };
  };
  if (open()) {
    if (ca & 12) {
      a = toRow(a, ca);
      ca = side(a);
    }
    if (cb & 12) {
      b = toRow(b, cb);
      cb = side(b);
    }
    if (open()) {
      if (ca) a = toColumn(a, ca);
      if (cb) b = toColumn(b, cb);
      [ca, cb] = [0, 0];
    }
  }
  return (ca | cb) === 0 ? [a, b] : undefined;
}

/** One pixel wide, 8-connected (Bresenham), from left to right. Coordinates are whole numbers. */
export function drawLine(image: Image<3>, from: Point, to: Point, colour: Colour): void {
  const inside = clipLine(image, from, to);
  if (!inside) return;
  const [start, end] = inside[0].x <= inside[1].x ? inside : [inside[1], inside[0]];
  let [dx, dy] = [end.x - start.x, Math.abs(end.y - start.y)];
  const down = end.y < start.y ? -1 : 1;
  const steep = dy > dx;
  if (steep) [dx, dy] = [dy, dx];
  let { x, y } = start;
  let error = dx - 2 * dy;
  for (let i = 0; i <= dx; i++) {
    dot(image, x, y, colour);
    const aside = error < 0;
    error += (aside ? 2 * dx : 0) - 2 * dy;
    if (steep) {
      y += down;
      if (aside) x++;
    } else {
      x++;
      if (aside) y += down;
    }
  }
}

/** A disc around a pixel (the midpoint algorithm). */
export function fillCircle(image: Image<3>, centre: Point, radius: number, colour: Colour): void {
  let [error, dx, dy, plus, minus] = [0, radius, 0, 1, 2 * radius - 1];
  while (dx >= dy) {
    for (const [wide, tall] of [
      [dx, dy],
      [dy, dx],
    ] as const)
      for (const y of [centre.y - tall, centre.y + tall])
        if (y >= 0 && y < image.height) row(image, y, centre.x - wide, centre.x + wide, colour);
    dy++;
    error += plus;
    plus += 2;
    if (error > 0) {
      error -= minus;
      dx--;
      minus -= 2;
    }
  }
}

/** Sines of whole degrees with seven digits, as OpenCV's table has them. */
const sine = (degrees: number): number => Math.fround(Number(Math.sin((degrees * Math.PI) / 180).toFixed(7)));

/** Corners of an ellipse, one a degree, rounded to pixels, no two alike in a row (`ellipse2Poly`). `angle` in whole degrees. */
export function ellipsePolygon(centre: Point, halfWidth: number, halfHeight: number, angle: number): Point[] {
  const turn = angle < 0 ? angle + 360 : angle;
  const [cosine, sin] = [sine(450 - turn), sine(turn)];
  const points: Point[] = [];
  for (let degrees = 0; degrees <= 360; degrees++) {
    const [x, y] = [halfWidth * sine(450 - degrees), halfHeight * sine(degrees)];
    const point = {
      x: roundHalfToEven(centre.x + x * cosine - y * sin),
      y: roundHalfToEven(centre.y + x * sin + y * cosine),
    };
    const last = points.at(-1);
    if (last?.x !== point.x || last.y !== point.y) points.push(point);
  }
  return points.length === 1 ? [centre, centre] : points;
}

/** 16 bits of fraction. */
const one = 2 ** 16;

/** One side of a polygon while it is filled: the next corner is `step` corners further. */
interface Side {
  corner: number;
  readonly step: number;
  x: number;
  slope: number;
  lastRow: number;
}

/** Fills a convex polygon, its outline included (`fillConvexPoly`). */
export function fillConvexPolygon(image: Image<3>, points: readonly Point[], colour: Colour): void {
  const count = points.length;
  const at = (i: number): Point => points[i % count] as Point;
  for (let i = 0; i < count; i++) drawLine(image, at(i + count - 1), at(i), colour);
  if (count < 3) return;
  const ys = points.map(({ y }) => y);
  const top = Math.min(...ys);
  const bottom = Math.min(Math.max(...ys), image.height - 1);
  const first = ys.indexOf(top);
  const side = (step: number): Side => ({ corner: first, step, x: -one, slope: 0, lastRow: top });
  const sides = [side(1), side(count - 1)] as const;
  let edges = count;
  const advance = (s: Side, y: number): void => {
    let from = s.corner;
    let next = (from + s.step) % count;
    while (edges-- > 0) {
      const height = at(next).y - y;
      if (height > 0) {
        const [start, end] = [at(from).x * one, at(next).x * one];
        s.lastRow = at(next).y;
        s.slope = Math.trunc(((end - start) * 2 + height) / (2 * height));
        s.x = start;
        s.corner = next;
        return;
      }
      from = next;
      next = (next + s.step) % count;
    }
  };
  for (let y = top; y <= bottom; y++) {
    for (const s of sides) if (y >= s.lastRow) advance(s, y);
    const [left, right] = sides[0].x > sides[1].x ? [sides[1], sides[0]] : sides;
    if (y >= 0) row(image, y, Math.floor((left.x + one / 2) / one), Math.floor((right.x + one / 2) / one), colour);
    for (const s of sides) s.x += s.slope;
  }
}
