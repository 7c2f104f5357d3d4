/** The extra settings of one section, as fields by the table of extra-fields.ts. */

import { useId } from 'react';
import { A1111Engine } from '../engines/a1111-engine.ts';
import { BrowserEngine } from '../engines/browser-engine.ts';
import type { PictureEngine } from '../engines/picture-engine.ts';
import type { ExtraField, ExtraGroup, ExtraValue } from '../settings/extra-fields.ts';
import { extraValue, groupsOf, isOn, type Place } from '../settings/extra-settings.ts';
import { SeedInput, SelectField, SliderField } from '../settings/fields.tsx';
import { studio, useStudio } from '../studio.ts';

const placeOf = (engine: PictureEngine | undefined): Place =>
  engine instanceof BrowserEngine ? 'browser' : engine instanceof A1111Engine ? 'a1111' : 'server';

function put(path: string, value: ExtraValue, initial: ExtraValue): void {
  const { [path]: _, ...others } = studio.state.settings.extra;
  studio.change({ extra: value === initial ? others : { ...others, [path]: value } });
}

function SeedField({ field, value }: { readonly field: ExtraField; readonly value: ExtraValue }) {
  const id = useId();
  return (
    <div className="field">
      <div className="field-head">
        <label htmlFor={id}>{field.label}</label>
      </div>
      <SeedInput
        id={id}
        label={field.label}
        value={typeof value === 'boolean' ? -1 : value}
        onChange={(seed) => put(field.path, seed, field.initial)}
      />
    </div>
  );
}

function Field({ field }: { readonly field: ExtraField }) {
  const { settings } = useStudio();
  const { path, label, hint, control, initial } = field;
  const value = extraValue(settings.extra, field);
  if (control.kind === 'seed') return <SeedField field={field} value={value} />;
  if (control.kind === 'switch')
    return <CheckField label={label} hint={hint} checked={value === true} onChange={(on) => put(path, on, initial)} />;
  if (control.kind === 'choice')
    return (
      <SelectField
        label={label}
        value={String(value)}
        options={control.options}
        onChange={(chosen) => put(path, chosen, initial)}
      />
    );
  return (
    <SliderField
      label={label}
      hint={hint}
      value={Number(value)}
      min={control.min}
      max={control.max}
      step={control.step}
      onChange={(given) => put(path, given, initial)}
    />
  );
}

export function CheckField({
  label,
  hint,
  checked,
  onChange,
}: {
  readonly label: string;
  readonly hint?: string | undefined;
  readonly checked: boolean;
  readonly onChange: (checked: boolean) => void;
}) {
  return (
    <label className="check">
      <input type="checkbox" checked={checked} onChange={(event) => onChange(event.target.checked)} />
      <span>
        {label}
        {hint !== undefined && <span className="hint"> {hint}</span>}
      </span>
    </label>
  );
}

function Group({ group }: { readonly group: ExtraGroup }) {
  const { settings } = useStudio();
  const on = isOn(group, settings.extra);
  const [first, ...others] = group.fields;
  return (
    <>
      {group.toggle !== undefined && (
        <CheckField label={group.toggle} checked={on} onChange={(checked) => put(group.name, checked, false)} />
      )}
      {(group.toggle === undefined || on) && <Field field={first} />}
      {(on || group.any) && others.map((field) => <Field key={field.path} field={field} />)}
    </>
  );
}

/** Shows nothing if the task or the engine has none of them. */
export function ExtraSection({ section }: { readonly section: ExtraGroup['section'] }) {
  const { task, engine } = useStudio();
  return groupsOf(task, placeOf(engine))
    .filter((group) => group.section === section)
    .map((group) => <Group key={group.name} group={group} />);
}

/** How many groups of a section there are, and how many are on, for the head of a section that is closed. */
export function useGroups(section: ExtraGroup['section']): { readonly there: number; readonly on: number } {
  const { task, engine, settings } = useStudio();
  const groups = groupsOf(task, placeOf(engine)).filter((group) => group.section === section);
  return { there: groups.length, on: groups.filter((group) => isOn(group, settings.extra)).length };
}
