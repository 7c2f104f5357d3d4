/** The settings that a picture carries: A1111's text, as this program and others write it. */

import { readImageMetadata } from 'stable-diffusion-ts/image/image-metadata.ts';
import { parseInfotext } from 'stable-diffusion-ts/image/infotext.ts';
import { checkedSettings, type Settings } from './settings.ts';

export interface FoundSettings {
  readonly settings: Settings;
  /** Name of the model, where it is told. */
  readonly model?: string;
}

/** Undefined where the picture says nothing. Throws StableDiffusionError where the file is no picture. */
export async function settingsOfPicture(file: Blob, base: Settings): Promise<FoundSettings | undefined> {
  const { parameters } = readImageMetadata(new Uint8Array(await file.arrayBuffer()));
  if (parameters === undefined) return undefined;
  const fields = parseInfotext(parameters);
  const told = /(?:^|\n)Steps: /.test(parameters);
  const settings = checkedSettings(
    {
      prompt: fields['Prompt'],
      negativePrompt: fields['Negative prompt'] ?? '',
      ...(told
        ? {
            width: fields['Size-1'], height: fields['Size-2'], steps: fields['Steps'], sampler: fields['Sampler'],
            schedule: fields['Schedule type'] === 'Automatic' ? '' : (fields['Schedule type'] ?? ''),
            guidanceScale: fields['CFG scale'], seed: fields['Seed'], strength: fields['Denoising strength'],
          }
        : {}),
    },
    base,
  );
  const model = fields['Model'];
  return { settings, ...(typeof model === 'string' && model !== '' ? { model } : {}) };
}
