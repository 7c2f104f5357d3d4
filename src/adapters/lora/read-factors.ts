/** The factors of a LoRA file by canonical names: to train it further, or to write it in another layout. */

import type { NetworkConfig } from '../../config/network-config.ts';
import { StableDiffusionError } from '../../errors.ts';
import { toFloat32 } from '../../tensor/convert.ts';
import { type Tensor, tensor } from '../../tensor/tensor.ts';
import type { LoraFile, LoraModule } from './lora-file.ts';
import type { LoraRole } from './lora-keys.ts';
import { loraLayers } from './lora-modules.ts';
import type { LoraFactors } from './write-lora.ts';

/**
 * Reads plain LoRA modules (down, up, alpha). Factors get the axes that canonical weights have: convolutions have four.
 * @throws `weights-mismatch` for modules that have no layer of their own, `file-unsupported` for LoHa, LoKr and CP forms
 */
export async function readFactors(
  file: LoraFile,
  networks: readonly NetworkConfig[],
  shapeOf: (network: 'unet' | 'text', tensor: string) => readonly number[] | undefined,
): Promise<LoraFactors[]> {
  const layers = networks.map((config) => [config.kind === 'unet' ? 'unet' : 'text', loraLayers(config)] as const);
  const factors: LoraFactors[] = [];
  for (const module of file.modules) {
    const [network, found] =
      layers.find(([name, known]) => (module.network ?? name) === name && known.has(module.name)) ?? [];
    const target = found?.get(module.name)?.weight;
    const shape = network && target ? shapeOf(network, target.tensor) : undefined;
    if (!network || !target || !shape || target.parts > 1)
      throw new StableDiffusionError('weights-mismatch', `${file.label}: ${module.name} is not a layer of this model.`);
    const [down, up] = [await readRole(file, module, 'down'), await readRole(file, module, 'up')];
    const rank = down.shape[0] ?? 1;
    const alphaEntry = module.tensors.get('alpha');
    const alpha = alphaEntry
      ? (toFloat32(await file.read(alphaEntry.name)).data[0] as number)
      : (file.peft?.scale(module, rank) ?? 1) * rank;
    factors.push({
      network,
      tensor: target.tensor,
      down: tensor('float32', [rank, ...shape.slice(1)], down.data),
      up: tensor('float32', [shape[0] ?? 1, rank, ...shape.slice(2).map(() => 1)], up.data),
      alpha,
    });
  }
  return factors;
}

async function readRole(file: LoraFile, module: LoraModule, role: LoraRole): Promise<Tensor<'float32'>> {
  const entry = module.tensors.get(role);
  if (!entry || module.tensors.has('mid'))
    throw new StableDiffusionError(
      'file-unsupported',
      `${file.label}: ${module.name} has no plain factors; it has ${[...module.tensors.keys()].join(', ')}.`,
    );
  return toFloat32(await file.read(entry.name));
}
