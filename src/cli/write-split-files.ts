/** A model as split files, as ComfyUI lays them out: the UNet in `diffusion_models/`, the text encoders in `text_encoders/`, the autoencoder in `vae/`. */

import { basename, join } from 'node:path';
import type { Checkpoint } from '../checkpoints/checkpoint.ts';
import { configKey } from '../checkpoints/checkpoint.ts';
import { predictionMarks, splitTexts } from '../checkpoints/convert-layout.ts';
import { splitFolders } from '../checkpoints/split-files-node.ts';
import { yamlOf } from '../config/ldm-yaml.ts';
import type { ClipTextConfig } from '../config/network-config.ts';
import { makeFolder } from '../files/make-folder-node.ts';
import { writeNewFolder } from '../files/write-folder-node.ts';
import { joined } from '../weights/view.ts';
import type { WeightSource } from '../weights/weight-source.ts';
import { type WriteOptions, writeWeights } from './convert-files.ts';

/** ComfyUI's names of the towers: CLIP ViT-L, and OpenCLIP's ViT-H and ViT-bigG. */
const towerName = ({ hidden_act, hidden_size }: ClipTextConfig, isSecond: boolean): string =>
  isSecond || hidden_size === 1280 ? 'clip_g' : hidden_act === 'gelu' ? 'clip_h' : 'clip_l';

/** Throws `file-exists` where `path` is not empty, `config-invalid` for a model without CLIP's text encoders. */
export async function writeSplitFolder(path: string, checkpoint: Checkpoint, options: WriteOptions): Promise<void> {
  const { parts, config } = checkpoint;
  const name = `${basename(path)}.safetensors`;
  const marks = predictionMarks(config);
  const yaml = yamlOf(config);
  const unet = marks ? joined([parts.unet, marks], parts.unet.label) : parts.unet;
  const files: { folder: string; name: string; source: WeightSource; metadata?: Record<string, string> }[] = [
    { folder: splitFolders.unet[0], name, source: unet, ...(yaml ? { metadata: { [configKey]: yaml } } : {}) },
    { folder: splitFolders.vae[0], name, source: parts.first_stage },
    ...splitTexts(checkpoint).map(({ source, config: text, isSecond }) => ({
      folder: splitFolders.text[0],
      name: `${towerName(text, isSecond)}.safetensors`,
      source,
    })),
  ];
  const total = files.reduce((sum, { source }) => sum + source.entries.size, 0);
  let done = 0;
  await writeNewFolder(path, async (folder) => {
    for (const file of files) {
      await makeFolder(join(folder, file.folder));
      const count = { ...options, onTensor: () => options.onTensor(done++, total) };
      await writeWeights(join(folder, file.folder, file.name), file.source, count, file.metadata);
    }
  });
}
