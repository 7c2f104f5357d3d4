/**
 * What people keep beside a LoRA or an embedding: A1111's `NAME.json` (activation text, preferred weight), `NAME.civitai.info` (trained
 * words), and a picture `NAME.preview.png`. All are somebody else's files: what is damaged or of another form counts as not there.
 */

import * as z from 'zod';
import { readTextIfThere, whatIsAt } from '../../files/open-node.ts';

export interface Sidecar {
  /** Words that call what was trained. */
  readonly triggerWords: readonly string[];
  /** The strength its maker advises. */
  readonly preferredWeight: number | undefined;
  readonly preview: string | undefined;
}

const most = 50;
const words = z.array(z.string().max(1000)).max(1000);
const a1111Notes = z.object({
  'activation text': z.string().max(10_000).optional().catch(undefined),
  'preferred weight': z.number().min(-10).max(10).optional().catch(undefined),
});
const civitaiNotes = z.object({ trainedWords: words.optional().catch(undefined) });

async function notesIn<T>(path: string, schema: z.ZodType<T>): Promise<T | undefined> {
  try {
    const text = await readTextIfThere('note', path);
    return text === undefined ? undefined : schema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}

const previewEndings = ['preview.png', 'preview.jpg', 'preview.jpeg', 'preview.webp', 'png', 'jpg', 'jpeg', 'webp'];

async function previewOf(stem: string): Promise<string | undefined> {
  for (const ending of previewEndings) {
    const path = `${stem}.${ending}`;
    if ((await whatIsAt(path).catch(() => undefined)) === 'file') return path;
  }
  return undefined;
}

/** The sidecars of a file; `path` is the file's own. Never throws. */
export async function readSidecar(path: string): Promise<Sidecar> {
  const stem = path.replace(/\.[^./\\]+$/, '');
  const own = await notesIn(`${stem}.json`, a1111Notes);
  const civitai = await notesIn(`${stem}.civitai.info`, civitaiNotes);
  const activation = own?.['activation text']?.split(',') ?? [];
  const trained = [...activation, ...(civitai?.trainedWords ?? [])].map((word) => word.trim()).filter(Boolean);
  const weight = own?.['preferred weight'];
  return {
    triggerWords: [...new Set(trained)].slice(0, most),
    // A1111 writes 0 where none is set.
    preferredWeight: weight === 0 ? undefined : weight,
    preview: await previewOf(stem),
  };
}
