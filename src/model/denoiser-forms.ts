/**
 * A UNet with extensions as what sampling calls: the plain network, the network whose middle attention is watched (self-attention guidance), and
 * the pair of graphs of DeepCache. All share one set of programs.
 */

import type { UNetConfig } from '../config/network-config.ts';
import { cachedNetwork } from '../diffusion/cached-network.ts';
import type { DenoiserInputs, GuidanceTerm, Network } from '../diffusion/guidance.ts';
import { inBatchesOf } from '../diffusion/network-batches.ts';
import { selfAttentionGuidance } from '../diffusion/self-attention-guidance.ts';
import type { Engine } from '../engine/engine.ts';
import type { PrecisionName } from '../engine/precision.ts';
import { attentionMap, attentionMapOutput } from '../extensions/attention-map.ts';
import { cachedFeatures, deepCacheFull, deepCacheShallow } from '../extensions/deep-cache.ts';
import { type Extension, zeroPerImage } from '../extensions/extension.ts';
import { joinBatches, takeBatch } from '../tensor/batches.ts';
import { expectDType, type Tensor } from '../tensor/tensor.ts';
import { joined } from '../weights/view.ts';
import type { WeightSource } from '../weights/weight-source.ts';
import { assertNetworksMatch, type NamedNetwork, NetworkSet, runForOne } from './network-set.ts';

export interface DenoiserFormsOptions {
  readonly label: string;
  readonly engine: Engine;
  readonly precision?: PrecisionName | undefined;
  readonly config: UNetConfig;
  /** The UNet's own and those of extensions, under canonical names. They stay the caller's. */
  readonly weights: readonly WeightSource[];
  readonly extensions: readonly Extension[];
  /** Sides of the latents, where an extension needs them. */
  readonly size?: readonly [height: number, width: number] | undefined;
  readonly deepCache?: { readonly interval: number; readonly branch: number } | undefined;
}

export interface DenoiserForms extends AsyncDisposable {
  /** The network of one run: with DeepCache it remembers the run's steps. */
  readonly network: () => Network;
  /** The network of one run, and the term of self-attention guidance that follows what it looks at. */
  readonly selfAttentionGuided: (scale: number) => { readonly network: Network; readonly term: GuidanceTerm };
}

/** Throws `invalid-argument` where a branch of DeepCache is deeper than the network, `weights-mismatch` where weights do not fit. */
export function openDenoiserForms(options: DenoiserFormsOptions): DenoiserForms {
  const { label, engine, precision, config, extensions, size, deepCache } = options;
  const [own] = options.weights;
  const weights = options.weights.length === 1 && own ? own : joined([...options.weights], label);
  const named = (more: readonly Extension[]): NamedNetwork => ({
    config,
    weights,
    extensions: [...extensions, ...more],
    size,
  });
  const networks = new Map<string, NamedNetwork>([
    ['unet', named([])],
    ['watched', named([attentionMap])],
    ...(deepCache
      ? ([
          ['full', named([deepCacheFull(deepCache.branch)])],
          ['shallow', named([deepCacheShallow(deepCache.branch)])],
        ] as const)
      : []),
  ]);
  assertNetworksMatch([named([])]);
  const set = new NetworkSet({ label, engine, precision, networks });
  const neutral = (inputs: DenoiserInputs): DenoiserInputs => ({
    ...zeroPerImage(extensions, config, inputs.x.shape[0] ?? 1),
    ...inputs,
  });
  /** A network in batches that the engine can run. */
  const batched =
    (network: Network): Network =>
    (inputs, signal) => {
      const [, , height = 1, width = 1] = inputs.x.shape;
      const most = Math.max(1, Math.floor(engine.limits.latentPositions / (height * width)));
      return inBatchesOf(most, network)(neutral(inputs), signal);
    };
  const out = 'out';
  const plain: Network = batched((inputs, signal) => runForOne(set, { network: 'unet', output: out }, inputs, signal));
  const both = async (network: string, further: string, inputs: DenoiserInputs, signal?: AbortSignal) => {
    const made = await set.run({ network, outputs: [out, further] }, neutral(inputs), signal);
    const of = (name: string): Tensor<'float32'> => expectDType(made[name] as Tensor, 'float32', name);
    return { out: of(out), further: of(further) };
  };
  return {
    network: () =>
      deepCache
        ? cachedNetwork(
            {
              async full(inputs, signal) {
                const made = await both('full', cachedFeatures, inputs, signal);
                return { out: made.out, features: made.further };
              },
              shallow: (inputs, features, signal) =>
                runForOne(
                  set,
                  { network: 'shallow', output: out },
                  { ...neutral(inputs), [cachedFeatures]: features },
                  signal,
                ),
            },
            deepCache.interval,
          )
        : plain,
    selfAttentionGuided(scale) {
      // Maps of the passes of one call, in their order; the term takes them and leaves an empty list.
      let maps: Tensor<'float32'>[] = [];
      const network: Network = async (inputs, signal) => {
        const made = await both('watched', attentionMapOutput, inputs, signal);
        maps.push(made.further);
        return made.out;
      };
      const attention = (negative: boolean): Tensor<'float32'> => {
        const all = joinBatches(maps);
        maps = [];
        // The pass with the negative prompt comes first.
        return negative ? takeBatch(all, 0, (all.shape[0] ?? 1) / 2) : all;
      };
      const guide = selfAttentionGuidance(scale, attention);
      const term: GuidanceTerm = (guided, call) =>
        guide(guided, { ...call, network: plain }).finally(() => (maps = []));
      return { network, term };
    },
    [Symbol.asyncDispose]: () => set.dispose(),
  };
}
