/** Latents in files, as ComfyUI writes them: safetensors with the graph in their metadata. */

import { StableDiffusionError } from '../errors.ts';
import { openSafetensors } from '../formats/safetensors.ts';
import { writeSafetensors } from '../formats/safetensors-write.ts';
import { memoryBytes } from '../files/byte-source.ts';
import { memoryWeights } from '../weights/memory-weights.ts';
import { toFloat32 } from '../tensor/convert.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { FileReference } from './context.ts';
import type { NodeContext } from './context-in-run.ts';
import { numberedName } from './numbered-name.ts';
import { workflowTexts } from './pictures.ts';

type Float32 = Tensor<'float32'>;

/** Writes `PREFIX_00001_.latent`. */
export async function saveLatent(samples: Float32, prefix: string, context: NodeContext): Promise<FileReference> {
  const { files } = context;
  const { subfolder, name, counter } = await files.place('output', prefix);
  const tensors = new Map<string, Tensor>([
    ['latent_tensor', samples],
    ['latent_format_version_0', { dtype: 'float32', shape: [0], data: new Float32Array() }],
  ]);
  const source = memoryWeights(tensors, 'the latent');
  const metadata = new Map(workflowTexts(context));
  const entries = [...source.entries.values()];
  const chunks = writeSafetensors(entries, ({ name: own }) => source.read(own), { metadata });
  return files.write('output', subfolder, numberedName(name, counter, 'latent'), chunks);
}

/** Reads a latent; old files hold it multiplied by Stable Diffusion v1's factor. Throws `file-corrupt`. */
export async function loadLatent(name: string, { files }: NodeContext): Promise<Float32> {
  const source = await openSafetensors(memoryBytes(await files.read(name), name));
  if (!source.entries.has('latent_tensor'))
    throw new StableDiffusionError('file-corrupt', `${name} holds no latent: it has no tensor latent_tensor.`);
  const read = toFloat32(await source.read('latent_tensor'));
  if (source.entries.has('latent_format_version_0')) return read;
  return { ...read, data: read.data.map((value) => value * Math.fround(1 / 0.18215)) };
}
