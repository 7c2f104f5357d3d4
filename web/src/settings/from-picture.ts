/** The settings that a picture carries: A1111's text, as this program and others write it. */

import { readImageMetadata } from 'stable-diffusion-ts/image/metadata/image-metadata.ts';
import { parseInfotext } from 'stable-diffusion-ts/image/metadata/infotext.ts';
import { controlsOfRecord } from './control-units.ts';
import { extraOfPicture } from './extra-settings.ts';
import { checkedSettings, type PromptSyntax, type Settings } from './settings.ts';

export interface FoundSettings {
  /** Of pictures that began from another one the settings tell a strength. */
  readonly task: 'txt2img' | 'img2img';
  readonly settings: Settings;
  /** Name of the model, if known. */
  readonly model?: string;
}

/** True if a text has a line of settings in addition to a prompt. */
const tellsSettings = (text: string): boolean => /(?:^|\n)Steps: \d+, /.test(text);

const isOurs = (version: unknown): boolean => typeof version === 'string' && version.startsWith('stable-diffusion-ts');

/** The prompt syntax of our record, if any. Other programs' prompts are read as in A1111; for ours without a record it is unknown. */
function syntaxOf(version: unknown, record: unknown): PromptSyntax | undefined {
  if (typeof record === 'object' && record !== null && 'program' in record)
    return 'promptSyntax' in record && record.promptSyntax === 'a1111' ? 'a1111' : 'plain';
  return isOurs(version) ? undefined : 'a1111';
}

function fromText(text: string, base: Settings, record?: unknown): FoundSettings {
  const fields = parseInfotext(text);
  // Of a second pass it is that pass's.
  const strength = fields['Hires upscale'] === undefined ? fields['Denoising strength'] : undefined;
  const settings = checkedSettings(
    {
      prompt: fields['Prompt'],
      negativePrompt: fields['Negative prompt'] ?? '',
      promptSyntax: syntaxOf(fields['Version'], record),
      ...(tellsSettings(text)
        ? {
            width: fields['Size-1'],
            height: fields['Size-2'],
            steps: fields['Steps'],
            sampler: fields['Sampler'],
            schedule: fields['Schedule type'] === 'Automatic' ? '' : (fields['Schedule type'] ?? ''),
            guidanceScale: fields['CFG scale'],
            seed: fields['Seed'],
            strength,
            extra: extraOfPicture(fields, record),
            controls: controlsOfRecord(record),
          }
        : {}),
    },
    base,
  );
  const model = fields['Model'];
  const task = strength === undefined ? 'txt2img' : 'img2img';
  return { task, settings, ...(typeof model === 'string' && model !== '' ? { model } : {}) };
}

/** Undefined where the text is not one of settings. */
export function settingsOfText(text: string, base: Settings): FoundSettings | undefined {
  return tellsSettings(text) ? fromText(text, base) : undefined;
}

/** Undefined if the picture has no settings. Throws StableDiffusionError if the file is not a picture. */
export async function settingsOfPicture(file: Blob, base: Settings): Promise<FoundSettings | undefined> {
  const { parameters, record } = readImageMetadata(new Uint8Array(await file.arrayBuffer()));
  return parameters === undefined ? undefined : fromText(parameters, base, record);
}
