// Numbers as words and back.

const RAISED = "⁰¹²³⁴⁵⁶⁷⁸⁹";
const YEAR = 365.25 * 86400;
const UNITS = [
  [1e-15, "fs"], [1e-12, "ps"], [1e-9, "ns"], [1e-6, "µs"], [1e-3, "ms"],
  [1, "s"], [60, "min"], [3600, "h"], [86400, "days"], [YEAR, "years"],
];

/** 10 to a whole power, with raised digits. */
export function power(exponent) {
  if (exponent === 0) return "1";
  if (exponent === 1) return "10";
  return "10" + String(exponent).replace(/\d/g, (digit) => RAISED[digit]).replace("-", "⁻");
}

/** A number with a few significant digits: 0.25, 1230, 4.1 × 10⁸. */
export function short(value, digits = 3) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e-3 && size < 1e5) return String(Number(value.toPrecision(digits))).replace("-", "−");
  const [mantissa, exponent] = value.toExponential(digits - 1).split("e");
  const front = String(Number(mantissa)).replace("-", "−");
  return front === "1" ? power(Number(exponent)) : `${front} × ${power(Number(exponent))}`;
}

/** Seconds in the unit that people would use. */
export function time(seconds) {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return "–";
  const [size, name] = UNITS.findLast(([least]) => seconds >= 0.9995 * least) ?? UNITS[0];
  return `${short(seconds / size, 2)} ${name}`;
}

/** A quotient of two times: 3.2 times, or 4.5 orders of magnitude. */
export function margin(orders) {
  const size = Math.abs(orders);
  return size < 1 ? `${(10 ** size).toFixed(1)} times` : `${size.toFixed(1)} orders of magnitude`;
}

/** With its unit, as an input has it. */
export function valued(input, value) {
  return input.unit === "s" ? time(value) : short(value) + (input.unit ? ` ${input.unit}` : "");
}

/** The shortest spelling from which the same number is read again. */
export function exact(value) {
  const [plain, raised] = [String(value), value.toExponential()].map((text) => text.replace("e+", "e"));
  return raised.length < plain.length ? raised : plain;
}

/** A number as people write it, `1e6`, `10^6`, `1 000 000`, `2 * 10^3`; NaN for anything else. */
export function read(text) {
  const plain = String(text).replace(/[\s_']/g, "").replace("−", "-").replace(/[×x]/, "*");
  const raised = /^(?:([\d.]+)\*)?10(?:\^|\*\*)([-+]?\d+)$/.exec(plain);
  if (raised) return Number(`${raised[1] ?? 1}e${raised[2]}`);
  return plain === "" ? NaN : Number(plain);
}

/** Text that may stand in HTML. */
export function escape(text) {
  return String(text).replace(/[&<>"]/g, (sign) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[sign]);
}
