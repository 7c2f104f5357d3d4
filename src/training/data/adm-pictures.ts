/**
 * Data as guided-diffusion reads them (`image_datasets.py`): crops that halve by boxes first, pictures of a folder in its order, and classes
 * from the names of files.
 */

import { crop, type Image } from '../../image/image.ts';
import { resize } from '../../image/resize.ts';
import type { TorchGenerator } from '../../random/torch-generator.ts';
import { roundHalfToEven } from '../../diffusion/timesteps.ts';

/** Halved by boxes while the shorter side is at least twice `side`, then brought to `side` on it. */
function shrunk(image: Image<3>, side: number): Image<3> {
  let picture = image;
  while (Math.min(picture.width, picture.height) >= 2 * side)
    picture = resize(picture, Math.floor(picture.width / 2), Math.floor(picture.height / 2), 'box');
  const scale = side / Math.min(picture.width, picture.height);
  return resize(picture, roundHalfToEven(picture.width * scale), roundHalfToEven(picture.height * scale), 'bicubic');
}

/** `center_crop_arr`: the middle square. */
export function admCenterCrop(image: Image<3>, size: number): Image<3> {
  const picture = shrunk(image, size);
  const left = Math.floor((picture.width - size) / 2);
  return crop(picture, left, Math.floor((picture.height - size) / 2), size, size);
}

/** What a random crop draws. */
export interface AdmCrop {
  /** Pixels of the shorter side before the crop: from `size` to a quarter more. */
  readonly shorter: number;
  readonly left: number;
  readonly top: number;
}

/** `random_crop_arr` with its draws; without them they come from the generator. */
export function admRandomCrop(image: Image<3>, size: number, draws: AdmCrop | TorchGenerator): Image<3> {
  const isGiven = 'shorter' in draws;
  const shorter = isGiven ? draws.shorter : draws.integer(size, Math.ceil(size / 0.8) + 1);
  const picture = shrunk(image, shorter);
  const top = isGiven ? draws.top : draws.integer(0, picture.height - size + 1);
  const left = isGiven ? draws.left : draws.integer(0, picture.width - size + 1);
  return crop(picture, left, top, size, size);
}

const byCodePoint = (a: string, b: string): number => {
  const [p, q] = [Array.from(a), Array.from(b)];
  for (let i = 0; i < Math.min(p.length, q.length); i++) {
    const difference = (p[i]?.codePointAt(0) ?? 0) - (q[i]?.codePointAt(0) ?? 0);
    if (difference !== 0) return difference;
  }
  return p.length - q.length;
};

/** `_list_image_files_recursively` over the paths of a folder's files: each folder in the order of its names, folders where they come. */
export function admOrder(paths: readonly string[]): string[] {
  const visit = (prefix: string): string[] => {
    const inside = paths.filter((path) => path.startsWith(prefix)).map((path) => path.slice(prefix.length));
    const entries = [...new Set(inside.map((path) => path.split('/')[0] as string))].sort(byCodePoint);
    return entries.flatMap((entry) => {
      if (/\.(?:jpg|jpeg|png|gif)$/i.test(entry)) return [prefix + entry];
      return inside.includes(entry) ? [] : visit(`${prefix}${entry}/`);
    });
  };
  return visit('');
}

/** Classes by what a file's name has before its first `_`, numbered in the order of their names. */
export function admClasses(paths: readonly string[]): {
  readonly names: readonly string[];
  readonly classes: number[];
} {
  return numbered(paths.map((path) => (path.split('/').at(-1) ?? path).split('_')[0] as string));
}

/** Classes by the folder that each file lies in. */
export const folderClasses = (paths: readonly string[]): ReturnType<typeof admClasses> =>
  numbered(paths.map((path) => path.split('/').at(-2) ?? ''));

function numbered(own: readonly string[]): ReturnType<typeof admClasses> {
  const names = [...new Set(own)].sort(byCodePoint);
  const places = new Map(names.map((name, i) => [name, i]));
  return { names, classes: own.map((name) => places.get(name) as number) };
}
