/** Civitai's public REST API: the files of a version of a model (https://developer.civitai.com). */

import * as z from 'zod';
import { StableDiffusionError } from '../errors.ts';
import { authorization, reasonOf } from './hub-api-node.ts';
import { boundedJson, guardedFetch } from './guarded-fetch-node.ts';
import type { HubSettings } from './hub-settings.ts';

const versionSchema = z.object({
  id: z.number(),
  name: z.string(),
  baseModel: z.string().optional(),
  trainedWords: z.array(z.string()).default([]),
  model: z.object({ name: z.string(), type: z.string() }).optional(),
  files: z.array(
    z.object({
      name: z.string().max(255),
      sizeKB: z.number().optional(),
      type: z.string().optional(),
      primary: z.boolean().optional(),
      downloadUrl: z.url({ protocol: /^https?$/ }),
      hashes: z.object({ SHA256: z.string().optional() }).partial().default({}),
      pickleScanResult: z.string().optional(),
    }),
  ),
});

export interface CivitaiFile {
  readonly name: string;
  readonly url: string;
  readonly sha256: string | undefined;
  readonly what: string;
}

/** The file of a version that is loaded: a model in `.safetensors` before a pickled one. Throws `not-found`, `forbidden`, `network`, `file-unsafe`. */
export async function civitaiFile(version: number, settings: HubSettings, signal?: AbortSignal): Promise<CivitaiFile> {
  const url = `${settings.civitaiEndpoint}/api/v1/model-versions/${version}`;
  let response: Response;
  try {
    response = await guardedFetch(settings.fetch, url, {
      headers: authorization(settings.civitaiToken),
      signal: signal ? AbortSignal.any([signal, AbortSignal.timeout(30_000)]) : AbortSignal.timeout(30_000),
    });
  } catch (cause) {
    if (cause instanceof StableDiffusionError) throw cause;
    throw new StableDiffusionError('network', `${settings.civitaiEndpoint} could not be reached: ${reasonOf(cause)}.`, {
      cause,
    });
  }
  if (response.status === 404) throw new StableDiffusionError('not-found', `Civitai has no model version ${version}.`);
  if (response.status === 401 || response.status === 403)
    throw new StableDiffusionError('forbidden', `Civitai requires a key for version ${version}. Set CIVITAI_TOKEN.`);
  const parsed = response.ok
    ? versionSchema.safeParse(await boundedJson(response, 4 * 2 ** 20, settings.civitaiEndpoint).catch(() => undefined))
    : undefined;
  if (!parsed?.success)
    throw new StableDiffusionError('network', `${url} answered HTTP ${response.status} with an unreadable body.`);
  const { files, model, name, baseModel } = parsed.data;
  const models = files.filter(({ type, name: file }) => (type ?? 'Model') === 'Model' && isPlainName(file));
  const best =
    models.find((file) => file.primary && isSafe(file.name)) ?? models.find((file) => isSafe(file.name)) ?? models[0];
  if (!best) throw new StableDiffusionError('not-found', `Version ${version} on Civitai has no file of weights.`);
  if (!isSafe(best.name) && best.pickleScanResult === 'Danger')
    throw new StableDiffusionError('file-unsafe', `Civitai found code in ${best.name} of version ${version}.`);
  return {
    name: best.name,
    url: best.downloadUrl,
    sha256: best.hashes.SHA256?.toLowerCase(),
    what: [model?.name ?? name, baseModel].filter(Boolean).join(', '),
  };
}

const isSafe = (name: string): boolean => name.toLowerCase().endsWith('.safetensors');
const isPlainName = (name: string): boolean => !/[/\\:\0]/.test(name) && !name.startsWith('.');
