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

/** The old way, which works on http too: a selected text field. Says whether it did. */
function copyBySelection(text: string): boolean {
  const field = document.createElement('textarea');
  field.value = text;
  field.setAttribute('readonly', '');
  field.style.position = 'fixed';
  field.style.opacity = '0';
  document.body.append(field);
  field.select();
  try {
    return document.execCommand('copy');
  } finally {
    field.remove();
  }
}

/** Throws a readable Error if the clipboard is unavailable. */
export async function copySettings(picture: Picture): Promise<void> {
  const text = await textOf(picture);
  try {
    // On http there is no `navigator.clipboard`, whatever its type says.
    const clipboard = navigator.clipboard as Clipboard | undefined;
    if (clipboard) await clipboard.writeText(text);
    else if (!copyBySelection(text)) throw new Error('refused');
  } catch {
    throw new Error('This browser did not allow copying. Allow the clipboard for this page, or use https.');
  }
}
