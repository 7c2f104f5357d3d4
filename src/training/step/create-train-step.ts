/** Makes a training step: differentiates the loss, puts parameters, moments and averages into the engine, compiles the programs. */

import { StableDiffusionError } from '../../errors.ts';
import { gradients } from '../../graph/gradients.ts';
import { dropUnused } from '../../graph/simplify.ts';
import { convert } from '../../tensor/convert.ts';
import type { Shape, Tensor } from '../../tensor/tensor.ts';
import { compileHelpers } from './flat-programs.ts';
import { Optimiser, stateNames } from './optimiser.ts';
import { inParts, packLike, packsOf } from './packs.ts';
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
  const groups = new Map(
    candidates
      .filter((name) => made.has(`grad.${name}`))
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
  const packs = packsOf(state, groups, (name) => average !== undefined && (average.of?.(name) ?? true));
  const divided = options.ranks?.sharded === true && options.ranks.communicator.size > 1;
  for (const { name, members, averaged } of packs) {
    await packLike(state, name, members, (own) => own);
    await packLike(state, stateNames.gradient(name), members, stateNames.gradient);
    if (divided) continue;
    for (const slot of optimiser.slots)
      await packLike(state, stateNames.slot(slot, name), members, (own) => stateNames.slot(slot, own));
    if (!averaged || state.entries.has(stateNames.average(name))) continue;
    await packLike(state, stateNames.average(name), members, stateNames.average);
    const values = await state.read(members);
    await state.write(Object.fromEntries(members.map((own) => [stateNames.average(own), values[own] as Tensor])));
  }
  const shards = await divideStates(engine, state, packs, optimiser.slots, options.ranks);
  const program = await engine.compile(differentiated, weights, {
    parameters: { inputs },
    ...(options.signal ? { signal: options.signal } : {}),
  });
  return new TrainStep(options, state, program, await compileHelpers(engine), packs, optimiser, {
    shards,
    outer: await createOuterStep(state, packs, optimiser.slots, options.ranks),
  });
}
