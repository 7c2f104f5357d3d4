/** A picture's settings as text for the clipboard, as A1111 writes them; pasted into this page (or another's prompt) they are set again. */

import { readImageMetadata } from 'stable-diffusion-ts/image/metadata/image-metadata.ts';
import type { Picture } from '../history/picture-database.ts';
import { settingRows } from './settings.ts';

async function textOf({ file, settings, task }: Picture): Promise<string> {
  const { parameters } = readImageMetadata(new Uint8Array(await file.arrayBuffer()));
  return (
    parameters ??
    settingRows(settings, task)
      .map(([label, value]) => `${label}: ${value}`)
      .join('\n')
  );
}

/** Throws a readable Error if the clipboard is unavailable. */
export async function copySettings(picture: Picture): Promise<void> {
  const text = await textOf(picture);
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    throw new Error('This browser gives no clipboard here: it needs an https address, and to be allowed.');
  }
}
