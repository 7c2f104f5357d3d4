/** Makes a training step: differentiates the loss, puts parameters, moments and averages into the engine, compiles the programs. */

import type { EngineState, Program } from '../../engine/engine.ts';
import { StableDiffusionError } from '../../errors.ts';
import { gradients } from '../../graph/gradients.ts';
import type { Graph } from '../../graph/graph.ts';
import { dropUnused } from '../../graph/simplify.ts';
import { convert } from '../../tensor/convert.ts';
import type { Shape, Tensor } from '../../tensor/tensor.ts';
import { Backward, type BackwardPart, backwardParts, finishedAt, makeGradients, splitRankMeans } from './backward.ts';
import { compileHelpers } from './flat-programs.ts';
import { dividesGradients } from './gradient-exchange.ts';
import { Optimiser, stateNames } from './optimiser.ts';
import { inParts, type Pack, packLike, packsOf } from './packs.ts';
import type { ParameterGroup } from './parameter-group.ts';
import { createOuterStep } from './outer-step.ts';
import { divideStates } from './state-shards.ts';
import { type TrainStepOptions, treatmentOf } from './step-options.ts';
import { TrainStep } from './train-step.ts';

/**
 * Compiles a training step and puts its tensors into the engine.
 * @throws `weights-mismatch` if a parameter is missing or has another shape, `engine-failed`
 */
export async function createTrainStep(options: TrainStepOptions): Promise<TrainStep> {
  const { engine, graph, weights } = options;
  const state = options.state ?? engine.createState();
  const wanted = dropUnused(graph).parameters.map(({ name }) => name);
  const candidates = wanted.filter((name) => typeof treatmentOf(options, name) === 'object');
  const differentiated = gradients(
    graph,
    'loss',
    candidates,
    options.checkpoint ? { checkpoint: options.checkpoint } : {},
  );
  const made = new Set(differentiated.outputs.map(({ name }) => name));
  const { parts = 1 } = options.ranks ?? {};
  const place = finishedAt(differentiated);
  const groups = new Map(
    candidates
      .filter((name) => made.has(`grad.${name}`))
      // Packs of several parts have parameters whose gradients are finished together.
      .sort((a, b) => (parts === 1 ? 0 : place(a) - place(b)))
      .map((name) => [name, treatmentOf(options, name) as ParameterGroup]),
  );
  const inputs = new Set(
    differentiated.parameters.map(({ name }) => name).filter((name) => treatmentOf(options, name) !== 'fixed'),
  );
  const fresh = differentiated.parameters.filter(({ name }) => inputs.has(name) && !state.entries.has(name));
  for (const part of inParts(fresh, ({ value }) => value.shape as Shape)) {
    const tensors: Record<string, Tensor> = {};
    for (const { name, value } of part) {
      const read = await weights.read(name, options.signal);
      if (read.shape.join() !== value.shape.join())
        throw new StableDiffusionError(
          'weights-mismatch',
          `${weights.label}: ${name} is [${read.shape.join(', ')}], not [${value.shape.join(', ')}].`,
        );
      tensors[name] = convert(read, 'float32');
    }
    await state.write(tensors);
  }
  const optimiser = new Optimiser(engine, options.optimiser ?? { kind: 'adamw' });
  const { average } = options;
  const averages = (name: string): boolean => average !== undefined && (average.of?.(name) ?? true);
  const packs = packsOf(state, groups, averages, parts);
  const divided = options.ranks?.sharded === true && options.ranks.communicator.size > 1;
  for (const { name, members, averaged } of packs) {
    await packLike(state, name, members, (own) => own);
    if (divided) continue;
    for (const slot of optimiser.slots)
      await packLike(state, stateNames.slot(slot, name), members, (own) => stateNames.slot(slot, own));
    if (!averaged || state.entries.has(stateNames.average(name))) continue;
    await packLike(state, stateNames.average(name), members, stateNames.average);
    const values = await state.read(members);
    await state.write(Object.fromEntries(members.map((own) => [stateNames.average(own), values[own] as Tensor])));
  }
  if (!dividesGradients(options.ranks)) await makeGradients(state, packs);
  const shards = await divideStates(engine, state, packs, optimiser.slots, options.ranks);
  const backward = await compileBackward(options, state, { graph: differentiated, packs, inputs });
  return new TrainStep(options, state, backward, await compileHelpers(engine), packs, optimiser, {
    shards,
    outer: await createOuterStep(state, packs, optimiser.slots, options.ranks),
  });
}

/** The gradient program, in the parts that the ranks' settings ask for. */
async function compileBackward(
  options: TrainStepOptions,
  state: EngineState,
  {
    graph,
    packs,
    inputs,
  }: { readonly graph: Graph; readonly packs: readonly Pack[]; readonly inputs: ReadonlySet<string> },
): Promise<Backward> {
  const { engine, weights, signal } = options;
  const split = splitRankMeans(graph);
  const parts = backwardParts(split.graph, packs, state, options.ranks?.parts ?? 1, split.ends);
  const compiled: (BackwardPart & { readonly program: Program })[] = [];
  for (const part of parts) {
    const program = await engine.compile(part.graph, weights, {
      parameters: { inputs },
      keepsMemory: parts.length === 1,
      ...(signal ? { signal } : {}),
    });
    compiled.push({ ...part, program });
  }
  return new Backward(options, state, graph, compiled, packs, split.means);
}
