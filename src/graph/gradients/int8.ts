/** Operations of networks in int8 have no gradient: their float32 form is differentiated. */

import { StableDiffusionError } from '../../errors.ts';
import type { GradientRules } from './rule.ts';

const none = (): never => {
  throw new StableDiffusionError(
    'invalid-argument',
    'A network in int8 cannot be trained. Differentiate the float32 network instead.',
  );
};

export const int8Gradients: GradientRules<
  'int8Linear' | 'blockLinear' | 'int8Conv2d' | 'int8DirectConv2d' | 'groupNormLast'
> = {
  int8Linear: none,
  blockLinear: none,
  int8Conv2d: none,
  int8DirectConv2d: none,
  groupNormLast: none,
};
