//! Clients that pass on mail of others, such as the host of a mailing list.

use super::clients::Ranges;
use super::error::Source;
use super::{ConfigWarning, Network, clouds};

/// Prefix lengths from which a range is taken for that of one operator, for IPv4 and for IPv6: the longest that are
/// routed on their own.
const ONE_OPERATOR: (u8, u8) = (24, 48);

/// The ranges of `forwarders`; none by default. Whoever connects from there can show any author in clear mail, so ranges
/// that strangers send from are warned of.
pub(super) fn check(
    ranges: Option<Ranges>,
    source: &Source<'_>,
    warnings: &mut Vec<ConfigWarning>,
) -> Vec<Network> {
    let mut forwarders = Vec::new();
    for range in ranges.map(Ranges::into_inner).into_iter().flatten() {
        let span = range.span();
        let range = range.into_inner().0;
        let power = "whoever sends from there can show a partner as the author of clear mail";
        let hint = "list the hosts of single lists and forwarders";
        if let Some(cloud) = clouds::of(&range) {
            let what = format!(
                "`forwarders` has {range}, where {cloud} sends from for all its customers: {power}"
            );
            warnings.push(source.error(span, what, hint));
        } else if !range.is_private() && !range.is_within(ONE_OPERATOR) {
            let what = format!("`forwarders` has {range}, which is wide: {power}");
            warnings.push(source.error(span, what, hint));
        }
        forwarders.push(range);
    }
    forwarders
}
