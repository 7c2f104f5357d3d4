/** A picture in a file compared with one that was made again. */

import { extname } from 'node:path';
import type { Image } from '../image/image.ts';
import type { CliContext } from './command.ts';

interface Difference {
  /** Largest, in levels of 255. */
  readonly largest: number;
  /** Share of the values that differ. */
  readonly share: number;
}

/** Compares what the file shows with what a file of the same format would show of the new picture. */
export async function comparePicture(path: string, bytes: Uint8Array, image: Image): Promise<Difference> {
  const { nodeImageCodec } = await import('../image/codec/codec-node.ts');
  const ending = extname(path).toLowerCase();
  const format = ending === '.jpg' || ending === '.jpeg' ? 'jpeg' : ending === '.webp' ? 'webp' : 'png';
  const was = await nodeImageCodec.decode(bytes);
  const is = await nodeImageCodec.decode(await nodeImageCodec.encode(image, { format }));
  if (was.data.length !== is.data.length || was.width !== is.width) return { largest: 255, share: 1 };
  let largest = 0;
  let different = 0;
  for (let i = 0; i < was.data.length; i++) {
    const difference = Math.abs((was.data[i] as number) - (is.data[i] as number));
    if (difference > 0) different++;
    if (difference > largest) largest = difference;
  }
  return { largest, share: different / was.data.length };
}

/** Says where the picture was written and how it differs. */
export function reportDifference(
  context: CliContext,
  path: string,
  written: string | null,
  { largest, share }: Difference,
): void {
  if (written !== null) context.out.write(`${written}\n`);
  const percent = (share * 100).toPrecision(2);
  context.out.write(
    largest === 0
      ? `The picture is equal to ${path}.\n`
      : `The picture differs from ${path} by at most ${largest} of 255 levels, in ${percent} % of the values.\n`,
  );
}
