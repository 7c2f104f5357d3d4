/** Graphs of the recorded sessions: the default text-to-image graph with changes, told by what the transcripts show. */

export type Graph = Record<string, { class_type: string; inputs: Record<string, unknown> }>;

export interface GraphChanges {
  readonly seed?: number;
  readonly steps?: number;
  readonly text?: string;
  readonly prefix?: string;
  readonly batch?: number;
  readonly cfg?: number;
  readonly negative?: string;
  readonly checkpoint?: string;
  /** Pixels of a side. */
  readonly size?: number;
}

export function defaultGraph({
  seed = 5,
  steps = 3,
  text = 'a lighthouse',
  prefix = 'ComfyUI',
  batch = 1,
  cfg = 7,
  negative = 'text, watermark',
  checkpoint = 'sd1.safetensors',
  size = 64,
}: GraphChanges = {}) {
  return {
    3: {
      class_type: 'KSampler',
      inputs: {
        seed,
        steps,
        cfg,
        sampler_name: 'euler',
        scheduler: 'normal',
        denoise: 1.0,
        model: ['4', 0],
        positive: ['6', 0],
        negative: ['7', 0],
        latent_image: ['5', 0],
      },
    },
    4: { class_type: 'CheckpointLoaderSimple', inputs: { ckpt_name: checkpoint } },
    5: { class_type: 'EmptyLatentImage', inputs: { width: size, height: size, batch_size: batch } },
    6: { class_type: 'CLIPTextEncode', inputs: { text, clip: ['4', 1] } },
    7: { class_type: 'CLIPTextEncode', inputs: { text: negative, clip: ['4', 1] } },
    8: { class_type: 'VAEDecode', inputs: { samples: ['3', 0], vae: ['4', 2] } },
    9: { class_type: 'SaveImage', inputs: { filename_prefix: prefix, images: ['8', 0] } },
  };
}

/** A checkpoint that cannot be read, in a graph with nodes that no output needs. */
export function brokenGraph(steps: number): Graph {
  const graph = defaultGraph({ seed: 1, steps });
  (graph['4'] as Graph[string]).inputs['ckpt_name'] = 'broken.safetensors';
  (graph['3'] as Graph[string]).inputs['latent_image'] = ['12', 0];
  return {
    ...graph,
    10: { class_type: 'LoadImage', inputs: { image: 'a.png' } },
    11: {
      class_type: 'LatentUpscale',
      inputs: { samples: ['5', 0], upscale_method: 'bilinear', width: 64, height: 64, crop: 'disabled' },
    },
    12: {
      class_type: 'LatentCompositeMasked',
      inputs: { destination: ['5', 0], source: ['5', 0], x: 0, y: 0, resize_source: false },
    },
  };
}

/** With a second output that only shows the picture. */
export const withPreview = (graph: Graph): Graph => ({
  ...graph,
  19: { class_type: 'PreviewImage', inputs: { images: ['8', 0] } },
});

/** With a second output whose picture would be too small. */
export const withWrongOutput = (graph: Graph, width: number): Graph => ({
  ...graph,
  17: { class_type: 'EmptyLatentImage', inputs: { width, height: 64, batch_size: 1 } },
  18: { class_type: 'VAEDecode', inputs: { samples: ['17', 0], vae: ['4', 2] } },
  19: { class_type: 'PreviewImage', inputs: { images: ['18', 0] } },
});
