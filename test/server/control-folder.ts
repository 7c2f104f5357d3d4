/** Folders of control networks for the bundled model, of random weights, as an operator has them. */

import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { T2IAdapterConfig } from '../../src/config/network-config.ts';
import { writeFileAtomic } from '../../src/files/write-file-node.ts';
import { writeSafetensors } from '../../src/formats/safetensors-write.ts';
import { unetOf } from '../../src/model/extended-denoiser.ts';
import { loadModel, pocketModel } from '../../src/model/load-model-node.ts';
import type { WeightSource } from '../../src/weights/weight-source.ts';
import {
  controlNetConfig,
  randomGligenWeights,
  randomImagePromptWeights,
  tinyImageEncoder,
} from '../control-models.ts';
import { randomWeights } from '../model/random-model.ts';
import { startTestServer, type TestServer } from './start.ts';

export interface ControlFolders {
  /** `tiny_v11_canny`, `sub/tiny_t2iadapter`, `tiny_ip-adapter`, `tiny_gligen`. */
  readonly controls: string;
  /** The image encoder of the IP-Adapter. */
  readonly annotators: string;
  remove(): void;
}

const write = (path: string, source: WeightSource): Promise<unknown> =>
  writeFileAtomic(
    path,
    writeSafetensors(source.entries.values(), ({ name }) => source.read(name)),
  );

export async function controlFolders(): Promise<ControlFolders> {
  const root = mkdtempSync(join(tmpdir(), 'sd-controls-'));
  const [controls, annotators] = [join(root, 'ControlNet'), join(root, 'annotators')];
  mkdirSync(join(controls, 'sub'), { recursive: true });
  mkdirSync(annotators);
  await using model = await loadModel(pocketModel);
  const { config: unet } = unetOf(model);
  const adapter: T2IAdapterConfig = {
    kind: 't2i_adapter',
    adapter_type: 'full',
    in_channels: 3,
    channels: unet.channel_mult.map((mult) => mult * unet.model_channels),
    num_res_blocks: 2,
    downscale_factor: 8,
  };
  const encoder = tinyImageEncoder(20);
  await write(join(controls, 'tiny_v11_canny.safetensors'), randomWeights(controlNetConfig(model), 7));
  await write(join(controls, 'sub/tiny_t2iadapter.safetensors'), randomWeights(adapter));
  await write(join(controls, 'tiny_ip-adapter.safetensors'), randomImagePromptWeights(model));
  await write(join(controls, 'tiny_gligen.safetensors'), randomGligenWeights(model));
  await write(join(annotators, 'clip_tiny.safetensors'), randomWeights(encoder));
  return { controls, annotators, remove: () => rmSync(root, { recursive: true, force: true }) };
}

export interface ControlServer {
  readonly server: TestServer;
  /** Where its control networks lie. */
  readonly controls: string;
  /** Stops the server and removes the folders. */
  end(): Promise<void>;
}

export async function startControlServer(): Promise<ControlServer> {
  const { controls, annotators, remove } = await controlFolders();
  const server = await startTestServer({ controlFolders: [controls], annotatorFolders: [annotators] });
  return {
    server,
    controls,
    async end() {
      await server.stop();
      remove();
    },
  };
}
