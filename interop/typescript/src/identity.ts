import * as tr46 from "tr46";

const LABEL = /^(?!-)[a-z0-9_-]{1,63}(?<!-)$/;

/** Whether the text is an identity as it stands [R-id-01]. */
export function isIdentity(text: string): boolean {
  if (text.length > 253) return false;
  const labels = text.split(".");
  return labels.length >= 2 && labels.every((label) => LABEL.test(label)) && !/^[0-9]+$/.test(labels[labels.length - 1]!);
}

/** The identity of a domain as it is spelt, in whatever case, with A-labels or U-labels [R-id-01]. */
export function identityOf(domain: string): string | undefined {
  const mapped = /^[\x00-\x7f]*$/.test(domain) ? domain.toLowerCase() : mapULabels(domain);
  return mapped !== undefined && isIdentity(mapped) ? mapped : undefined;
}

function mapULabels(domain: string): string | undefined {
  const mapped = tr46.toASCII(domain, {
    checkBidi: true,
    checkHyphens: true,
    checkJoiners: true,
    transitionalProcessing: false,
    useSTD3ASCIIRules: true,
    verifyDNSLength: true,
  });
  return mapped ?? undefined;
}
