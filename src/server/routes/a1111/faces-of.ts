/** `restore_faces` of a request, and the options that say how (modules/face_restoration.py of A1111 v1.10.1). */

import type { ServerContext } from '../../context.ts';
import type { JobDraft } from '../../decide-job.ts';
import { invalidField } from '../../http/problem.ts';
import { faceRestorerTitles } from '../../../models/faces/index.ts';
import { defaultFaceRestorer, faceRestorersOf, facesNeed } from '../../models/face-networks.ts';
import type { SharedFields } from './generation-fields.ts';

/** How a job restores faces, and a warning where the server cannot. Throws at `code_former_weight` outside 0 to 1. */
export function facesOf(
  { controls }: ServerContext,
  { restore_faces }: SharedFields,
  options: Readonly<Record<string, unknown>>,
): { readonly restoreFaces?: JobDraft['restoreFaces']; readonly warnings: readonly string[] } {
  if (!(restore_faces ?? options['face_restoration'] === true)) return { warnings: [] };
  const named = options['face_restoration_model'] ?? defaultFaceRestorer;
  const model = faceRestorerTitles.find((title) => title === named);
  if (!model)
    return {
      warnings: [
        `The face restorer ${String(named).slice(0, 100)} is not supported (${faceRestorerTitles.join(', ')} are); restore_faces was left out.`,
      ],
    };
  if (!faceRestorersOf(controls).includes(model))
    return { warnings: [`restore_faces ${facesNeed(model)}. It was left out.`] };
  const weight = Number(options['code_former_weight']);
  if (!(weight >= 0 && weight <= 1))
    throw invalidField(['body', 'override_settings', 'code_former_weight'], 'ensure this value is from 0 to 1');
  return { restoreFaces: { weight, model }, warnings: [] };
}
