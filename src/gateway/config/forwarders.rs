//! Clients that pass on mail of others, such as the host of a mailing list.

use super::clients::Ranges;
use super::error::Source;
use super::{ConfigWarning, Network, clouds};

/// Prefix lengths from which a range is taken for that of one operator, for IPv4 and for IPv6: the longest that are
/// routed on their own.
const ONE_OPERATOR: (u8, u8) = (24, 48);

/// The ranges of `forwarders`; none by default. Whoever connects from there can show any author in clear mail, so ranges
/// that strangers send from are warned of, and whatever may be the MTA through which all strangers send. `peers` are those of
/// `xforward` and `xclient`.
pub(super) fn check(
    ranges: Option<Ranges>,
    peers: &[Network],
    source: &Source<'_>,
    warnings: &mut Vec<ConfigWarning>,
) -> Vec<Network> {
    let mut forwarders = Vec::new();
    let Some(ranges) = ranges else { return forwarders };
    if peers.is_empty() && !ranges.get_ref().is_empty() {
        let what = "`forwarders` is set, but neither `xforward` nor `xclient`: if an MTA takes the mail first, it is the \
                    client of every message, and listing it lets every author through";
        let hint = "list such an MTA in `xforward`, never in `forwarders`; where the world connects to the gateway itself, all is well";
        warnings.push(source.error(ranges.span(), what, hint));
    }
    for range in ranges.into_inner() {
        let span = range.span();
        let range = range.into_inner().0;
        if let Some(peer) = peers.iter().find(|peer| peer.overlaps(&range)) {
            let what = format!(
                "`forwarders` has {range}, and {peer} in `xforward` or `xclient` speaks for others: what it passes on \
                 without naming the client counts as a forwarder's"
            );
            let hint = "take the MTA before the gateway out of `forwarders`";
            warnings.push(source.error(span.clone(), what, hint));
        }
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
