/** Chooses the engine: this server if it answers, else this browser. */

import { A1111Engine } from './a1111-engine.ts';
import { BrowserEngine, hasWebGpu, type Provider } from './browser-engine.ts';
import { JobsEngine } from './jobs-engine.ts';
import { storedModels } from './model-store.ts';
import type { PictureEngine } from './picture-engine.ts';
import { type ServerAddress, ServerError } from './server-request.ts';

export type Place = 'server' | 'browser';

/** The user's choice, stored between visits. `auto` is WebGPU if available. */
export interface EngineChoice {
  /** Undefined: a server where one answers. */
  readonly place?: Place;
  readonly provider: Provider | 'auto';
  /** Empty: where this page comes from. */
  readonly server: string;
  readonly apiKey: string;
}

const key = 'engine';

export function rememberedChoice(): EngineChoice {
  const fresh: EngineChoice = { provider: 'auto', server: '', apiKey: '' };
  try {
    return { ...fresh, ...(JSON.parse(localStorage.getItem(key) ?? '{}') as Partial<EngineChoice>) };
  } catch {
    return fresh;
  }
}

export function rememberChoice(choice: EngineChoice): void {
  try {
    localStorage.setItem(key, JSON.stringify(choice));
  } catch {
    // The choice holds for this visit.
  }
}

export function serverAddress({ server, apiKey }: EngineChoice): ServerAddress {
  const base =
    server.trim() === ''
      ? new URL('.', document.baseURI).href
      : new URL(server.trim().includes('://') ? server.trim() : `http://${server.trim()}`).href;
  return { base: base.endsWith('/') ? base : `${base}/`, apiKey };
}

/** Connects to a server of this program, or to one that speaks A1111's API. Throws ServerError. */
export async function connectServer(choice: EngineChoice): Promise<PictureEngine> {
  const address = serverAddress(choice);
  const soon = AbortSignal.timeout(8000);
  try {
    return await JobsEngine.connect(address, soon);
  } catch (error) {
    if (!(error instanceof ServerError) || error.status !== 404) throw error;
  }
  return A1111Engine.connect(address, soon);
}

export async function startBrowserEngine(choice: EngineChoice): Promise<BrowserEngine> {
  const provider = choice.provider === 'auto' ? ((await hasWebGpu()) ? 'webgpu' : 'wasm') : choice.provider;
  const stored = (await storedModels())
    .map(({ name }) => name)
    .filter((name) => !name.endsWith('.yaml') && name !== 'pocket.safetensors');
  return new BrowserEngine(provider, stored);
}
