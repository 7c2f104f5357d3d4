/** The program's name and version, as it goes into pictures and into keys of what is kept for it. */
export const programName = 'stable-diffusion-ts 0.1.0';
