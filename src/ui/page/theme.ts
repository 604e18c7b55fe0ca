/** Light, dark, or as the system says. */
import { signal } from "@preact/signals";

export type Theme = "system" | "light" | "dark";

const THEME_KEY = "wavekv-theme";
const THEMES: readonly Theme[] = ["system", "light", "dark"];

export const theme = signal<Theme>(stored());

export function nextTheme(): void {
  theme.value = THEMES[(THEMES.indexOf(theme.peek()) + 1) % THEMES.length] ?? "system";
  localStorage.setItem(THEME_KEY, theme.peek());
  applyTheme();
}

export function applyTheme(): void {
  if (theme.peek() === "system") document.documentElement.removeAttribute("data-theme");
  else document.documentElement.setAttribute("data-theme", theme.peek());
}

function stored(): Theme {
  const text = localStorage.getItem(THEME_KEY);
  return THEMES.find((known) => known === text) ?? "system";
}
