/** The settings that a picture carries: A1111's text, as this program and others write it. */

import { readImageMetadata } from 'stable-diffusion-ts/image/metadata/image-metadata.ts';
import { parseInfotext } from 'stable-diffusion-ts/image/metadata/infotext.ts';
import { checkedSettings, type PromptSyntax, type Settings } from './settings.ts';

export interface FoundSettings {
  readonly settings: Settings;
  /** Name of the model, where it is told. */
  readonly model?: string;
}

/** Whether a text has the line of settings, beside a prompt. */
const tellsSettings = (text: string): boolean => /(?:^|\n)Steps: \d+, /.test(text);

const isOurs = (version: unknown): boolean => typeof version === 'string' && version.startsWith('stable-diffusion-ts');

/** Of our record where there is one. Others' prompts are read as A1111 reads them; ours without a record leave it open. */
function syntaxOf(version: unknown, record: unknown): PromptSyntax | undefined {
  if (typeof record === 'object' && record !== null && 'program' in record)
    return 'promptSyntax' in record && record.promptSyntax === 'a1111' ? 'a1111' : 'plain';
  return isOurs(version) ? undefined : 'a1111';
}

function fromText(text: string, base: Settings, record?: unknown): FoundSettings {
  const fields = parseInfotext(text);
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
            strength: fields['Denoising strength'],
          }
        : {}),
    },
    base,
  );
  const model = fields['Model'];
  return { settings, ...(typeof model === 'string' && model !== '' ? { model } : {}) };
}

/** Undefined where the text is not one of settings. */
export function settingsOfText(text: string, base: Settings): FoundSettings | undefined {
  return tellsSettings(text) ? fromText(text, base) : undefined;
}

/** Undefined where the picture says nothing. Throws StableDiffusionError where the file is no picture. */
export async function settingsOfPicture(file: Blob, base: Settings): Promise<FoundSettings | undefined> {
  const { parameters, record } = readImageMetadata(new Uint8Array(await file.arrayBuffer()));
  return parameters === undefined ? undefined : fromText(parameters, base, record);
}
