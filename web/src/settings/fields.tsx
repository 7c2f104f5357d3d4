/** Form fields of the settings: each a label and a native control. */

import { isSeedText, type PlainSeed, plainSeed } from 'stable-diffusion-ts/random/plain-seed.ts';
import { type ReactNode, useId, useState } from 'react';

interface NumberProps {
  readonly label: string;
  readonly value: number;
  readonly min: number;
  readonly max: number;
  readonly step: number;
  readonly onChange: (value: number) => void;
}

/** A number that is taken over when it is one: while typing the text may be anything. */
export function NumberInput({
  label,
  value,
  min,
  max,
  step,
  onChange,
  id,
  placeholder,
}: NumberProps & { readonly id?: string; readonly placeholder?: string }) {
  const [draft, setDraft] = useState<string>();
  const settle = (): void => {
    if (draft === undefined) return;
    const number = Number(draft);
    if (draft.trim() !== '' && Number.isFinite(number)) onChange(Math.min(max, Math.max(min, number)));
    else if (draft.trim() === '' && placeholder !== undefined) onChange(min);
    setDraft(undefined);
  };
  const shown = placeholder !== undefined && value === min ? '' : String(value);
  return (
    <input
      id={id}
      className="number"
      type="number"
      inputMode="decimal"
      aria-label={label}
      min={min}
      max={max}
      step={step}
      value={draft ?? shown}
      placeholder={placeholder}
      onChange={(event) => {
        setDraft(event.target.value);
        const number = event.target.valueAsNumber;
        if (Number.isFinite(number) && number >= min && number <= max) onChange(number);
      }}
      onBlur={settle}
      onKeyDown={(event) => event.key === 'Enter' && settle()}
    />
  );
}

/** A seed, to its last digit; empty for another one each time. */
export function SeedInput({
  id,
  value,
  onChange,
  label = 'Seed',
}: {
  readonly id: string;
  readonly label?: string;
  readonly value: PlainSeed;
  readonly onChange: (seed: PlainSeed) => void;
}) {
  const [draft, setDraft] = useState<string>();
  return (
    <input
      id={id}
      className="number"
      type="number"
      inputMode="numeric"
      aria-label={label}
      step={1}
      value={draft ?? (value === -1 ? '' : String(value))}
      placeholder="any"
      onChange={(event) => {
        const text = event.target.value.trim();
        setDraft(text);
        if (text === '') onChange(-1);
        else if (isSeedText(text)) onChange(plainSeed(text));
      }}
      onBlur={() => setDraft(undefined)}
    />
  );
}

/** A slider with its number next to the label. */
export function SliderField({ label, hint, ...rest }: NumberProps & { readonly hint?: string }) {
  const id = useId();
  const { value, min, max, step, onChange } = rest;
  return (
    <div className="field">
      <div className="field-head">
        <label htmlFor={id}>{label}</label>
        <NumberInput label={`${label}, exact`} {...rest} />
      </div>
      <input
        id={id}
        type="range"
        min={min}
        max={max}
        step={step}
        value={value}
        style={{ '--at': `${((value - min) / (max - min)) * 100}%` } as React.CSSProperties}
        onChange={(event) => onChange(event.target.valueAsNumber)}
      />
      {hint && <p className="hint">{hint}</p>}
    </div>
  );
}

export function SelectField({
  label,
  value,
  options,
  onChange,
  disabled = false,
  children,
}: {
  readonly label: string;
  readonly value: string;
  readonly options: readonly (readonly [value: string, label: string])[];
  readonly onChange: (value: string) => void;
  readonly disabled?: boolean;
  readonly children?: ReactNode;
}) {
  const id = useId();
  return (
    <div className="field">
      <div className="field-head">
        <label htmlFor={id}>{label}</label>
        {children}
      </div>
      <select id={id} value={value} disabled={disabled} onChange={(event) => onChange(event.target.value)}>
        {options.map(([key, text]) => (
          <option key={key} value={key}>
            {text}
          </option>
        ))}
      </select>
    </div>
  );
}

/** One of a few, side by side. */
export function Segments<T extends string>({
  legend,
  value,
  options,
  onChange,
  name,
}: {
  readonly legend: string;
  readonly name: string;
  readonly value: T;
  readonly options: readonly (readonly [value: T, label: string])[];
  readonly onChange: (value: T) => void;
}) {
  return (
    <fieldset className="segments">
      <legend className="visually-hidden">{legend}</legend>
      {options.map(([key, text]) => (
        <label key={key}>
          <input type="radio" name={name} checked={key === value} onChange={() => onChange(key)} />
          <span>{text}</span>
        </label>
      ))}
    </fieldset>
  );
}
