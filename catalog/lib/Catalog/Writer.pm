package Catalog::Writer;

# The one way in which catalog files are written: members in a fixed order, an
# offer on one line, anything else on one line where it fits. So a diff shows one
# line per changed fact. Called by Catalog::Tree.

use strict;
use warnings;

use Exporter 'import';
use JSON::PP ();

our @EXPORT_OK = qw(canonical_text);

my $width = 100;
my $scalar = JSON::PP->new->allow_nonref->allow_blessed->convert_blessed;

# Members come in this order wherever they occur; others follow by name.
my @order = qw(
    hosts models
    base_url base_url_for host format path id formats
    display_name owned_by created context_tokens output_tokens aliases
    from above name when quality size usd min max
    auth headers passthrough stream_usage local
    type header prefix value service scope token_url query oauth
    vendor kind family input output cache_read cache_write cache_write_5m cache_write_1h
    cache_write_12h reasoning audio_in audio_out image_in image_out request request_low
    request_medium request_high page audio_hour million_chars web_search_1k
    price tiers tiers_unconfirmed modes batch_discount windows scheduled per_image free unpriced
    indicative
    variant snapshot region status max_input_tokens capabilities refuses thinking
    reasoning_efforts reasoning_budget dimensions dimension_options open_weights knowledge_cutoff released
    deprecated_on retires retires_not_before replacement
    env base_urls auth_alternatives optional_headers variables format_notes other_paths
    models_path test_path rate_limit confidence dialect input_limits cache_ttls billing_currency docs
    quirks basis note source as_of agrees differs sources
    pricing facts offers
);
my %order = map { $order[$_] => $_ } 0 .. $#order;

# The members of these are names, not vocabulary: in the order of the alphabet.
my %by_name = map { $_ => 1 } qw(hosts models formats headers capabilities dialect modes format_notes);

# One line for each member or element, however short.
my %spread = map { $_ => 1 } qw(hosts models formats capabilities facts offers quirks other_paths
                               auth_alternatives format_notes);

sub ordered_names {
    my ($object, $member) = @_;
    return sort keys %$object if $by_name{$member // ''};
    return sort { ($order{$a} // 1000) <=> ($order{$b} // 1000) || $a cmp $b } keys %$object;
}

# The text of a whole file, as characters.
sub canonical_text {
    my ($document) = @_;
    return block($document, '', 0, 1) . "\n";
}

# On as many lines as it takes. The entries of hosts and models are spread like
# what holds them.
sub block {
    my ($value, $member, $indent, $spread) = @_;
    my $flat = line($value, $member);

    return $flat if !ref $value || JSON::PP::is_bool($value) || $flat =~ /^(?:\{\}|\[\])$/;
    return $flat if !$spread && $indent + length($member) + length($flat) + 5 <= $width;

    my $pad = ' ' x ($indent + 2);
    my @lines = ref $value eq 'HASH'
        ? map { $pad . text($_) . ': '
                . block($value->{$_}, $_, $indent + 2, spreads($_, $member)) }
              ordered_names($value, $member)
        : map { $pad . ($member eq 'offers' ? line($_, '') : block($_, '', $indent + 2, 0)) }
              @$value;
    my ($open, $close) = ref $value eq 'HASH' ? ('{', '}') : ('[', ']');
    return "$open\n" . join(",\n", @lines) . "\n" . ' ' x $indent . $close;
}

sub spreads {
    my ($name, $parent) = @_;
    return $parent =~ /^(?:hosts|models)$/ || $spread{$name};
}

# On one line.
sub line {
    my ($value, $member) = @_;

    return '[' . join(', ', map { line($_, '') } @$value) . ']' if ref $value eq 'ARRAY';
    return text($value) if ref $value ne 'HASH';
    return '{' . join(', ', map { text($_) . ': ' . line($value->{$_}, $_) }
                          ordered_names($value, $member)) . '}';
}

sub text { return $scalar->encode($_[0]) }

1;
