/** OpenPose's picture of people: limbs as ellipses, joints as discs, in the colours that control networks know. */

import { float32 } from '../tensor/tensor.ts';
import { createImage, type Image } from '../image/image.ts';
import { type Colour, ellipsePolygon, fillCircle, fillConvexPolygon } from '../image/opencv/draw.ts';
import { resizeBytes } from '../image/opencv/resize-bytes.ts';
import type { Annotator } from '../models/annotators/annotator.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { type FoundPeople, findPeople, limbs } from './people.ts';

/** Colours of the joints; the first 17 are the limbs'. */
const colours: readonly Colour[] = [
  [255, 0, 0],
  [255, 85, 0],
  [255, 170, 0],
  [255, 255, 0],
  [170, 255, 0],
  [85, 255, 0],
  [0, 255, 0],
  [0, 255, 85],
  [0, 255, 170],
  [0, 255, 255],
  [0, 170, 255],
  [0, 85, 255],
  [0, 0, 255],
  [85, 0, 255],
  [170, 0, 255],
  [255, 0, 255],
  [255, 0, 170],
  [255, 0, 85],
];

/** Joints of one person in shares of the picture's sides; undefined where one was not found. */
export type Pose = readonly ({ readonly x: number; readonly y: number } | undefined)[];

/** The poses of people in a picture of a size. */
export function posesOf({ joints, people }: FoundPeople, width: number, height: number): Pose[] {
  return people.map((person) =>
    person.joints.map((id) => {
      const joint = joints[id];
      return joint && { x: joint.x / width, y: joint.y / height };
    }),
  );
}

const halfThickness = 4;

function drawPose(canvas: Image<3>, pose: Pose): void {
  const { width, height } = canvas;
  for (const [i, [from, to]] of limbs.entries()) {
    const [a, b, colour] = [pose[from], pose[to], colours[i]];
    if (!a || !b || !colour || i >= 17) continue;
    const [ax, bx, ay, by] = [a.x * width, b.x * width, a.y * height, b.y * height];
    const length = Math.sqrt((ay - by) ** 2 + (ax - bx) ** 2);
    const angle = Math.trunc((Math.atan2(ay - by, ax - bx) * 180) / Math.PI);
    const centre = { x: Math.trunc((ax + bx) / 2), y: Math.trunc((ay + by) / 2) };
    const outline = ellipsePolygon(centre, Math.trunc(length / 2), halfThickness, angle);
    fillConvexPolygon(canvas, outline, colour.map((value) => Math.trunc(value * 0.6)) as unknown as Colour);
  }
  for (const [i, joint] of pose.entries()) {
    const colour = colours[i];
    if (joint && colour)
      fillCircle(canvas, { x: Math.trunc(joint.x * width), y: Math.trunc(joint.y * height) }, halfThickness, colour);
  }
}

export function drawPoses(poses: readonly Pose[], width: number, height: number): Image<3> {
  const canvas = createImage(width, height, 3);
  for (const pose of poses) drawPose(canvas, pose);
  return canvas;
}

/** Side to which the picture's height is scaled for the network. */
const networkHeight = 184;

/** The network's size for a picture, before padding to multiples of 8. */
export function poseNetworkSize({ width, height }: Pick<Image, 'width' | 'height'>): { width: number; height: number } {
  const scale = networkHeight / height;
  return { width: Math.max(1, Math.trunc(width * scale)), height: Math.max(1, Math.trunc(height * scale)) };
}

/** The picture as the network sees it, BGR, padded with grey. */
function poseInput(image: Image<3>): Tensor<'float32'> {
  const { width, height } = poseNetworkSize(image);
  const grows = width + height >= image.width + image.height;
  const { data } = resizeBytes(image, width, height, grows ? 'lanczos4' : 'area');
  const up = (side: number): number => Math.ceil(side / 8) * 8;
  const [wide, tall] = [up(width), up(height)];
  const out = new Float32Array(3 * wide * tall).fill(128 / 256 - 0.5);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++)
      for (let c = 0; c < 3; c++)
        out[(c * tall + y) * wide + x] = (data[(y * width + x) * 3 + 2 - c] as number) / 256 - 0.5;
  return float32([1, 3, tall, wide], out);
}

/** The poses in a picture, drawn on black. */
export async function posePicture(image: Image<3>, annotator: Annotator, signal?: AbortSignal): Promise<Image<3>> {
  const { width, height } = image;
  const { heat, paf } = await annotator.run(poseInput(image), signal);
  const found = findPeople(heat as Tensor<'float32'>, paf as Tensor<'float32'>, poseNetworkSize(image), image);
  return drawPoses(posesOf(found, width, height), width, height);
}
