/**
 * Presets: sampler, spacing, steps and guidance that belong together for models made for few steps. A caller's own values replace a preset's,
 * and a preset's replace the model's recommendation. Plain data: pages import it without the schema.
 */

export interface Preset {
  /** The models that it is for. */
  readonly models: string;
  readonly settings: {
    readonly sampler: string;
    readonly schedule?: string;
    readonly steps: number;
    readonly guidanceScale: number;
    readonly eta?: number;
  };
}

const few = { schedule: 'sgm_uniform', guidanceScale: 1 } as const;

export const presets = {
  /** Luo et al. 2023 (arXiv 2311.05556): 2 to 8 steps without guidance, or with a little (up to 2). */
  lcm: { models: 'a model with LCM-LoRA', settings: { ...few, sampler: 'k-lcm', steps: 4 } },
  /** Sauer et al. 2023 (arXiv 2311.17042): 1 to 4 steps without guidance, from the last timestep. */
  turbo: { models: 'SD-Turbo, SDXL-Turbo', settings: { ...few, sampler: 'euler-ancestral', steps: 1 } },
  /** Lin, Wang and Yang 2024 (arXiv 2402.13929): as many steps as the file says, Euler's, without guidance. */
  lightning: { models: 'SDXL-Lightning with 4 steps', settings: { ...few, sampler: 'euler', steps: 4 } },
  /** Zheng et al. 2024 (arXiv 2402.19159) and Ren et al. 2024 (arXiv 2404.13686): TCD's sampler with some fresh noise. */
  hyper: {
    models: 'Hyper-SD and TCD-LoRA',
    settings: { sampler: 'tcd', steps: 4, guidanceScale: 1, eta: 0.3 },
  },
  /** Wang et al. 2024 (arXiv 2405.18407), the files for small guidance: DDIM from the last timestep, which is Euler's method on these levels. */
  pcm: { models: 'PCM-LoRA (small CFG) with 4 steps', settings: { ...few, sampler: 'euler', steps: 4 } },
  /** Any model, with a solver of second order: fewer steps than the default's, at little loss. */
  fast: { models: 'any model', settings: { sampler: 'dpmpp-2m', schedule: 'karras', steps: 15, guidanceScale: 6 } },
} as const satisfies Readonly<Record<string, Preset>>;

export type PresetName = keyof typeof presets;

export const presetNames = Object.keys(presets) as [PresetName, ...PresetName[]];

/**
 * The defaults of a request with a preset: those that are there, and the preset's over them. With a sampler of the caller's own, a preset
 * sets steps and guidance alone. An unknown name changes nothing here; the schema refuses it.
 */
export function presetDefaults(
  defaults: object,
  { preset, sampler: own }: { readonly preset?: unknown; readonly sampler?: unknown },
): object {
  if (!presetNames.includes(preset as PresetName)) return defaults;
  const settings: Preset['settings'] = presets[preset as PresetName].settings;
  const { steps, guidanceScale } = settings;
  if (own !== undefined) return { ...defaults, steps, guidanceScale };
  // The spacing of another sampler.
  const { schedule: _, ...others } = defaults as { readonly schedule?: unknown };
  return { ...others, ...settings };
}

/** What a preset sets, in words. */
export function presetText(name: PresetName): string {
  const { sampler, schedule, steps, guidanceScale, eta }: Preset['settings'] = presets[name].settings;
  return [
    `sampler ${sampler}`,
    ...(schedule === undefined ? [] : [`spacing ${schedule}`]),
    `${steps} ${steps === 1 ? 'step' : 'steps'}`,
    guidanceScale === 1 ? 'no guidance' : `guidance ${guidanceScale}`,
    ...(eta === undefined ? [] : [`eta ${eta}`]),
  ].join(', ');
}
