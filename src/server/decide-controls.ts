/** Controls that a caller asks for, checked before the job is accepted: their number, models, preprocessors and what these need. */

import type { ControlConfig, ControlKind } from '../checkpoints/control-file.ts';
import { isReferenceMode, noControlModel } from '../diffusion/control/reference-modes.ts';
import { takesMask, passesOn } from '../pipelines/control-maps.ts';
import { findPreprocessor, preprocessors, annotators } from '../preprocessors/index.ts';
import type { ServerContext } from './context.ts';
import { atField, invalidField } from './http/problem.ts';
import type { JobControl, JobImagePrompt } from './job-controls.ts';

type Where = readonly (string | number)[];

/** What of a draft its controls are checked with. */
export interface ControlledDraft {
  readonly control?: readonly JobControl[] | undefined;
  readonly imagePrompts?: readonly JobImagePrompt[] | undefined;
  /** Ids of the initial picture and the mask. */
  readonly image?: string | undefined;
  readonly mask?: string | undefined;
}

/** The place of a control in the caller's request. */
export type ControlPlace = (list: 'control' | 'imagePrompts', index: number, field: string) => Where;

export const placeInJob: ControlPlace = (list, index, field) => ['body', list, index, field];

function checkPreprocessor({ controls }: ServerContext, { preprocessor: name }: JobControl, where: Where): void {
  if (passesOn(name)) return;
  const found = findPreprocessor(name);
  if (!found)
    throw invalidField(
      where,
      `module(${name.slice(0, 100)}) not found in supported modules: ${preprocessors.map((one) => one.name).join(', ')}`,
    );
  if (found.network === undefined || controls.annotatorPath(found.network) !== undefined) return;
  const file = annotators.find(({ kind }) => kind === found.network)?.file;
  throw invalidField(
    where,
    `the preprocessor ${found.name} needs the network in ${file}, and the server has none; its operator can put it into a folder of --annotators`,
  );
}

function checkKind(kind: ControlConfig['kind'], list: 'control' | 'imagePrompts', where: Where): void {
  if ((kind === 'ip_adapter') === (list === 'imagePrompts')) return;
  throw invalidField(
    where,
    kind === 'ip_adapter'
      ? 'this is an IP-Adapter, which is given under imagePrompts'
      : 'this is not an IP-Adapter; give it under control',
  );
}

/** The model by its title. Throws at its field where it is not known, or not of this kind, or lacks its image encoder. */
async function modelOf(
  { controls }: ServerContext,
  list: 'control' | 'imagePrompts',
  name: string,
  where: Where,
): Promise<{ readonly title: string; readonly kind: ControlKind }> {
  const found = await atField(where, () => controls.find(name));
  const facts = await atField(where, () => controls.facts(found));
  checkKind(facts.kind, list, where);
  if (facts.takesFace)
    throw invalidField(where, 'a FaceID adapter takes the embedding of a face, which this server does not make');
  if (facts.encoderWidth) await atField(where, () => controls.encoderFor(facts));
  return { title: found.title, kind: facts.kind };
}

/** A reference mode needs no model. Throws where one is named. */
function referenceModel(name: string, where: Where): { readonly title: string; readonly kind: ControlKind } {
  if (name.toLowerCase() === noControlModel.toLowerCase()) return { title: noControlModel, kind: 'reference' };
  throw invalidField(where, `a reference mode takes no control network; give ${noControlModel}`);
}

async function checkedControl(
  context: ServerContext,
  draft: ControlledDraft,
  control: JobControl,
  at: (field: string) => Where,
): Promise<JobControl> {
  const { title, kind } = isReferenceMode(control.preprocessor)
    ? referenceModel(control.model, at('model'))
    : await modelOf(context, 'control', control.model, at('model'));
  if (kind === 'gligen') {
    if (!control.objects) throw invalidField(at('objects'), 'GLIGEN needs objects, each with a phrase and a box');
    return { ...control, model: title };
  }
  if (control.objects) throw invalidField(at('objects'), 'only GLIGEN takes objects');
  if (control.picture === undefined && draft.image === undefined)
    throw invalidField(at('picture'), 'this control has no picture, and the job has none either');
  if (kind === 'reference' && (control.region ?? control.layerWeights))
    throw invalidField(at(control.region ? 'region' : 'layerWeights'), 'a reference mode does not take it');
  if (control.start > control.end) throw invalidField(at('start'), 'ensure that start is not above end');
  if (kind !== 't2i_style') checkPreprocessor(context, control, at('preprocessor'));
  if (takesMask(control) && control.picture !== undefined && control.mask === undefined && draft.mask === undefined)
    throw invalidField(at('mask'), `the preprocessor ${control.preprocessor} needs a mask`);
  return { ...control, model: title };
}

/** The controls of a draft with the titles of their models. Throws `invalid-argument` and others at a field. */
export async function decideControls(
  context: ServerContext,
  draft: ControlledDraft,
  place: ControlPlace = placeInJob,
): Promise<Pick<ControlledDraft, 'control' | 'imagePrompts'>> {
  const { control = [], imagePrompts = [] } = draft;
  const most = context.limits.controls;
  if (control.length + imagePrompts.length > most)
    throw invalidField(
      place(control.length > most ? 'control' : 'imagePrompts', most, 'model'),
      `ensure that there are at most ${most} controls`,
    );
  const controls: JobControl[] = [];
  for (const [i, one] of control.entries())
    controls.push(await checkedControl(context, draft, one, (field) => place('control', i, field)));
  const prompts: JobImagePrompt[] = [];
  for (const [i, one] of imagePrompts.entries()) {
    const { title } = await modelOf(context, 'imagePrompts', one.model, place('imagePrompts', i, 'model'));
    if (one.start > one.end)
      throw invalidField(place('imagePrompts', i, 'start'), 'ensure that start is not above end');
    prompts.push({ ...one, model: title });
  }
  return {
    control: controls.length > 0 ? controls : undefined,
    imagePrompts: prompts.length > 0 ? prompts : undefined,
  };
}
