/**
 * Optimisers as graphs: AdamW (Loshchilov & Hutter 2019), Adam with L2 decay (Kingma & Ba 2015) and SGD with momentum, with the numbers
 * of `torch.optim`.
 *
 * The update of one parameter is a program over flat tensors that works element by element, so one program serves parameters of every
 * shape, each written where it is. Exponential averages of the parameters (LitEma) are part of the same program.
 */

import type { BoundRun, Engine, EngineState, Program, StatePart } from '../../engine/engine.ts';
import { dim } from '../../graph/dim.ts';
import { add, div, mul, sqrt, sub } from '../../graph/functions.ts';
import type { Graph } from '../../graph/graph.ts';
import { simplify } from '../../graph/simplify.ts';
import { type InputSpec, type Sym, trace } from '../../graph/trace.ts';
import { elementCount, float32, type Tensor } from '../../tensor/tensor.ts';
import { memoryWeights } from '../../weights/memory-weights.ts';

export type OptimiserConfig =
  | { readonly kind: 'adamw' | 'adam'; readonly betas?: readonly [number, number]; readonly epsilon?: number }
  | { readonly kind: 'sgd'; readonly momentum?: number; readonly nesterov?: boolean };

/** The update of one parameter, or of a pack of them. */
export interface Update {
  /** Name of the parameter or pack in the state. */
  readonly name: string;
  /** Number of updates of this parameter, including this one, from 1. */
  readonly step: number;
  readonly learningRate: number;
  readonly weightDecay: number;
  /** Factor on the gradient: clipping, and the mean over accumulated batches. */
  readonly gradientScale: number;
  /** The elements of the pack to update, where its moments and averages are divided over ranks. Default: all. */
  readonly range?: { readonly start: number; readonly end: number };
  /** The gradient is divided too. */
  readonly dividedGradient?: boolean;
  /** 1 - decay of the exponential average after this update; undefined for an unknown name. */
  readonly averageRate?: number;
}

/** Names of a parameter's tensors in the state. */
export const stateNames = {
  gradient: (name: string): string => `gradient/${name}`,
  /** Gradient of one of several accumulated batches. */
  fresh: (name: string): string => `fresh/${name}`,
  average: (name: string): string => `ema/${name}`,
  slot: (slot: string, name: string): string => `${slot}/${name}`,
  /** Momentum of DiLoCo's outer step. */
  outer: (name: string): string => `outer_momentum/${name}`,
  /** This rank's part of a divided tensor. */
  part: (name: string): string => `part/${name}`,
} as const;

interface Rule {
  /** Tensors of the parameter's shape that the optimiser keeps, zeros at first. */
  readonly slots: readonly string[];
  /** New values from the gradient, the parameter, the slots and the settings. */
  readonly update: (
    g: Sym,
    p: Sym,
    slots: Readonly<Record<string, Sym>>,
    settings: Readonly<Record<string, Sym>>,
  ) => { readonly p: Sym; readonly slots: Readonly<Record<string, Sym>> };
  /** Numbers of one step. */
  readonly settings: (update: Update) => Readonly<Record<string, number>>;
}

const need = (values: Readonly<Record<string, Sym>>, name: string): Sym => {
  const found = values[name];
  if (!found) throw new Error(`the optimiser has no ${name}`);
  return found;
};

function adam(config: Extract<OptimiserConfig, { kind: 'adamw' | 'adam' }>): Rule {
  const [beta1, beta2] = config.betas ?? [0.9, 0.999];
  const epsilon = config.epsilon ?? 1e-8;
  const decoupled = config.kind === 'adamw';
  return {
    slots: ['exp_avg', 'exp_avg_sq'],
    update: (raw, p, slots, settings) => {
      // Minimise passes over the tensors: factors common to all elements are multiplied first.
      const decay = need(settings, 'decay');
      const g = decoupled ? raw : add(mul(raw, need(settings, 'scale')), mul(p, decay));
      const decayed = decoupled ? mul(p, decay) : p;
      const share = mul(g, need(settings, 'share'));
      const first = add(mul(need(slots, 'exp_avg'), beta1), share);
      const second = add(mul(need(slots, 'exp_avg_sq'), beta2), mul(mul(share, share), (1 - beta2) / (1 - beta1) ** 2));
      const denominator = add(sqrt(second), need(settings, 'epsilon'));
      return {
        p: sub(decayed, div(mul(first, need(settings, 'size')), denominator)),
        slots: { exp_avg: first, exp_avg_sq: second },
      };
    },
    settings: ({ step, learningRate, weightDecay, gradientScale }) => {
      const correction = Math.sqrt(1 - beta2 ** step);
      return {
        ...(decoupled ? {} : { scale: gradientScale }),
        decay: decoupled ? 1 - learningRate * weightDecay : weightDecay,
        share: (decoupled ? gradientScale : 1) * (1 - beta1),
        size: (learningRate / (1 - beta1 ** step)) * correction,
        epsilon: epsilon * correction,
      };
    },
  };
}

function sgd({ momentum = 0, nesterov = false }: Extract<OptimiserConfig, { kind: 'sgd' }>): Rule {
  return {
    slots: momentum === 0 ? [] : ['momentum_buffer'],
    update: (raw, p, slots, settings): ReturnType<Rule['update']> => {
      const g = add(mul(raw, need(settings, 'scale')), mul(p, need(settings, 'decay')));
      if (momentum === 0) return { p: sub(p, mul(g, need(settings, 'size'))), slots: {} };
      // A buffer of zeros gives the first gradient itself, as PyTorch starts it.
      const buffer = add(mul(need(slots, 'momentum_buffer'), momentum), g);
      const direction = nesterov ? add(g, mul(buffer, momentum)) : buffer;
      return { p: sub(p, mul(direction, need(settings, 'size'))), slots: { momentum_buffer: buffer } };
    },
    settings: ({ learningRate, weightDecay, gradientScale }) => ({
      scale: gradientScale,
      decay: weightDecay,
      size: learningRate,
    }),
  };
}

const ruleOf = (config: OptimiserConfig): Rule => (config.kind === 'sgd' ? sgd(config) : adam(config));

const flat: InputSpec = { dtype: 'float32', shape: [dim('n')] };
const scalar: InputSpec = { dtype: 'float32', shape: [] };

/** The update of one flat parameter: p, g, slots, settings → `next.p`, `next.SLOT`, and with `average` `next.average`. */
export function updateGraph(config: OptimiserConfig, average: boolean): Graph {
  const rule = ruleOf(config);
  const settings = Object.keys(rule.settings({ name: '', step: 1, learningRate: 0, weightDecay: 0, gradientScale: 1 }));
  const inputs: Record<string, InputSpec> = { p: flat, g: flat };
  for (const slot of rule.slots) inputs[slot] = flat;
  for (const setting of settings) inputs[setting] = scalar;
  if (average) Object.assign(inputs, { average: flat, rate: scalar });
  return simplify(
    trace(inputs, (given) => {
      const next = rule.update(need(given, 'g'), need(given, 'p'), given, given);
      const outputs: Record<string, Sym> = { 'next.p': next.p };
      for (const slot of rule.slots) outputs[`next.${slot}`] = need(next.slots, slot);
      if (average)
        outputs['next.average'] = sub(
          need(given, 'average'),
          mul(sub(need(given, 'average'), next.p), need(given, 'rate')),
        );
      return outputs;
    }),
  );
}

/** Elements that a program without sums works on at a time: few enough to stay in the processor's cache from operation to operation. */
const partSize = 2 ** 18;

/** The parts of a tensor of `count` elements. */
export function partsOf(count: number, size = partSize): { readonly start: number; readonly end: number }[] {
  return Array.from({ length: Math.ceil(count / size) }, (_, i) => ({
    start: i * size,
    end: Math.min(count, (i + 1) * size),
  }));
}

/** Runs updates on the tensors of a state. */
export class Optimiser {
  readonly slots: readonly string[];
  readonly #rule: Rule;
  readonly #engine: Engine;
  readonly #config: OptimiserConfig;
  readonly #programs = new Map<boolean, Promise<Program>>();

  constructor(engine: Engine, config: OptimiserConfig) {
    this.#engine = engine;
    this.#config = config;
    this.#rule = ruleOf(config);
    this.slots = this.#rule.slots;
  }

  #program(average: boolean): Promise<Program> {
    const known = this.#programs.get(average);
    if (known) return known;
    const program = this.#engine.compile(updateGraph(this.#config, average), memoryWeights(new Map()));
    this.#programs.set(average, program);
    return program;
  }

  /** Updates parameters from their gradients in the state (`gradient/NAME`), together with their slots and averages. */
  async apply(state: EngineState, updates: readonly Update[]): Promise<void> {
    // Equal numbers are one tensor, which crosses to the engine once.
    const shared = new Map<number, Tensor>();
    const number = (value: number): Tensor => {
      const tensor = shared.get(value) ?? float32([], [value]);
      shared.set(value, tensor);
      return tensor;
    };
    for (const average of [false, true]) {
      const runs = updates
        .filter((update) => (update.averageRate !== undefined) === average)
        .flatMap((update) => this.#runs(update, elementCount(state.entries.get(update.name)?.shape ?? []), number));
      if (runs.length > 0) await (await this.#program(average)).runBound(state, runs, { inPlace: true });
    }
  }

  #runs(update: Update, count: number, number: (value: number) => Tensor): BoundRun[] {
    const { name, averageRate } = update;
    const tensors: Record<string, Tensor> = {};
    for (const [setting, value] of Object.entries(this.#rule.settings(update))) tensors[setting] = number(value);
    if (averageRate !== undefined) tensors['rate'] = number(averageRate);
    const { start: from, end: to } = update.range ?? { start: 0, end: count };
    // Divided tensors begin with the range.
    const kept = (own: string): string => (update.range ? stateNames.part(own) : own);
    return partsOf(to - from).map(({ start, end }): BoundRun => {
      const whole = { start: from + start, end: from + end };
      const inputs: Record<string, StatePart> = {
        p: { name, ...whole },
        g: update.dividedGradient
          ? { name: stateNames.part(stateNames.gradient(name)), start, end }
          : { name: stateNames.gradient(name), ...whole },
      };
      const outputs: Record<string, StatePart> = { 'next.p': { name, ...whole } };
      for (const slot of this.slots) {
        const place = { name: kept(stateNames.slot(slot, name)), start, end };
        inputs[slot] = place;
        outputs[`next.${slot}`] = place;
      }
      if (averageRate !== undefined) {
        const place = { name: kept(stateNames.average(name)), start, end };
        inputs['average'] = place;
        outputs['next.average'] = place;
      }
      return { tensors, inputs, outputs };
    });
  }

  async dispose(): Promise<void> {
    await Promise.all([...this.#programs.values()].map(async (program) => (await program).dispose()));
  }
}
