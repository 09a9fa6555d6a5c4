package Catalog::Decimal;

# Prices as text: exact, no floating point. Called by Catalog::Source::*.

use strict;
use warnings;

use Exporter 'import';

our @EXPORT_OK = qw(decimal);

# What data sets write as 0.19999999999999998 was meant as 0.2.
my $fraction_digits = 9;

# The one spelling of a JSON number times 10 ** $shift: "2.50e-6", 6 gives "2.5".
# undef for what is no number, or is negative.
sub decimal {
    my ($text, $shift) = @_;
    my ($whole, $fraction, $exponent) =
        ($text // '') =~ /^(\d+)(?:\.(\d+))?(?:[eE]([-+]?\d{1,3}))?$/ or return undef;

    $fraction //= '';
    my $digits = $whole . $fraction;
    my $point = length($whole) + ($exponent // 0) + ($shift // 0);

    $digits = '0' x -$point . $digits and $point = 0 if $point < 0;
    $digits .= '0' x ($point - length $digits) if $point > length $digits;
    return plain(rounded(substr($digits, 0, $point), substr($digits, $point)));
}

sub plain {
    my ($whole, $fraction) = @_;

    $whole =~ s/^0+(?=.)//;
    $fraction =~ s/0+$//;
    $whole = '0' if !length $whole;
    return length $fraction ? "$whole.$fraction" : $whole;
}

sub rounded {
    my ($whole, $fraction) = @_;

    return ($whole, $fraction) if length $fraction <= $fraction_digits;

    my $up = substr($fraction, $fraction_digits, 1) >= 5;
    my $digits = '0' . $whole . substr($fraction, 0, $fraction_digits);
    if ($up) {
        $digits =~ s/([0-8])(9*)$/($1 + 1) . '0' x length $2/e;
    }
    return (substr($digits, 0, -$fraction_digits), substr($digits, -$fraction_digits));
}

1;
