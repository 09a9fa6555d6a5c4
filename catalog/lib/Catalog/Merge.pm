package Catalog::Merge;

# Brings the records of a public data set into the catalog, and keeps account of
# what that did. Called by refresh.
#
# An offer belongs to the data set that its price comes from (facts.source). That
# one may change it; any other only says whether it agrees, and where it does not,
# a conflict is reported. The prices of vendors' own pages give way to nobody.

use strict;
use warnings;

use JSON::PP ();
use Time::Local qw(timegm);

use Catalog::Rules qw(offer_id offer_order refused_fields);

# The date that pins a version, at the end of an id.
my $snapshot = qr/[-@](20\d\d-?(?:0[1-9]|1[0-2])-?(?:0[1-9]|[12]\d|3[01]))$/;

# $with: source, as_of, overrule, drop_vanished.
sub new {
    my ($class, $tree, $with) = @_;
    my $self = bless {%$with, tree => $tree, report => {}, offers => {}, by_name => {}, touched => {}},
                     $class;

    $self->index_model(@$_) for $tree->entries('models');
    $self->{hosts} = {map { $_->[0] => $_->[1] } $tree->entries('hosts')};
    return $self;
}

# Offers by host and id; models by every name that they have anywhere.
sub index_model {
    my ($self, $name, $model, $file) = @_;

    for my $offer (@{$model->{offers}}) {
        my $id = offer_id($name, $offer);
        $self->{offers}{$offer->{host}}{$id} = {name => $name, model => $model, offer => $offer};
        $self->index_name($id, $name);
        $self->{makers}{$offer->{host}}{$model->{owned_by}}++;
        $self->{formats}{$offer->{host}}{$model->{owned_by}}{$model->{facts}{type}}{"@{$offer->{formats} // []}"}++;
    }
    $self->{models}{$name} = {model => $model, file => $file};
    $self->{taken}{$_} = $name for $name, @{$model->{aliases} // []};
    return;
}

# A name that two models have leads nowhere.
sub index_name {
    my ($self, $id, $name) = @_;

    for my $key (loose($id)) {
        my $known = $self->{by_name}{$key} //= $name;
        $self->{by_name}{$key} = '' if $known ne $name;
    }
    return;
}

sub loose {
    my ($id) = @_;
    my $loose = lc $id =~ s/[:-]free$//r;
    my $last = $loose =~ s{^.*/}{}r;

    return $last eq $loose ? $loose : ($loose, $last);
}

# The model that an upstream id stands for; a pinned snapshot is the model, too.
sub model_of {
    my ($self, $id) = @_;
    my @names = loose($id);
    my ($name) = grep { length } map { $self->{taken}{$_} // $self->{by_name}{$_} // '' }
        $id, @names, map { s/$snapshot//r } @names;

    return $name;
}

sub say_that {
    my ($self, $kind, $what) = @_;
    push @{$self->{report}{$kind}}, $what;
    return;
}

# ---- all records ------------------------------------------------------------

sub merge {
    my ($self, @records) = @_;
    my (%seen, @unknown);

    for my $record (grep { !$seen{$_->{host}}{$_->{id}}++ } @records) {
        my $known = $self->{offers}{$record->{host}}{$record->{id}};
        if ($known) { $self->known_offer($known, $record) }
        else { push @unknown, $record }
    }
    $self->new_offers(@unknown);
    $self->vanished(\%seen);
    $self->sort_offers;
    return;
}

# A new offer may tell the name of the next: until no more is found.
sub new_offers {
    my ($self, @records) = @_;
    my $before;

    do {
        $before = @records;
        @records = grep { !$self->new_offer($_) } @records;
    } while (@records && @records < $before);
    $self->say_that(unknown => "$_->{host} $_->{id}") for @records;
    return;
}

sub sort_offers {
    my ($self) = @_;

    for my $name (keys %{$self->{touched}}) {
        my $model = $self->{models}{$name}{model};
        $model->{offers} = [offer_order($name, @{$model->{offers}})];
    }
    return;
}

sub title {
    my ($name, $host, $id) = @_;
    return "$host $id" . ($id eq $name ? '' : " ($name)");
}

# ---- an offer that we have --------------------------------------------------

sub known_offer {
    my ($self, $known, $record) = @_;
    my ($name, $model, $offer) = @$known{qw(name model offer)};
    my $facts = $offer->{facts};
    my $title = title($name, $offer->{host}, $record->{id});
    my $own = $facts->{source} eq $self->{source};

    return if !has_price($record); # says nothing, or "free", which may mean a subscription
    my %price = %{placed($record->{price}, $offer->{pricing}{price})};
    my @differences = differences($offer->{pricing}, \%price, $record);

    # What the offer leaves open is no contradiction to another source.
    @differences = grep { !/ none -> / } @differences if !$own && $offer->{pricing}{price};

    if ($own && $facts->{as_of} gt $self->{as_of}) {
        $self->say_that(older => "$title: of $facts->{as_of}") if @differences;
        return;
    }
    if (!$own && !(@differences && $self->may_overrule($offer))) {
        return @differences ? $self->conflict($title, $facts, @differences) : $self->agree($facts);
    }
    $self->change($title, $offer, \%price, $record, @differences) if @differences;
    $self->limits($title, $model, $offer, $record);
    $self->{touched}{$name} = 1;
    return;
}

sub has_price {
    my ($record) = @_;
    return !!grep { $_ ne '0' } values %{$record->{price}};
}

# The default lifetime of a cache is five minutes where the offer says so. A zero
# where the offer has nothing says nothing.
sub placed {
    my ($price, $present) = @_;
    my %placed = map { $_ => $price->{$_} }
        grep { $_ eq 'input' || $price->{$_} ne '0' || defined $present->{$_} } keys %$price;

    $placed{cache_write_5m} = delete $placed{cache_write}
        if defined $placed{cache_write} && ($present->{cache_write_5m} || $placed{cache_write_1h});
    $placed{image_out} = delete $placed{output} if means_pictures(\%placed, $present);
    return \%placed;
}

# Of a model that makes pictures, some data sets call the price of a picture's
# tokens output.
sub means_pictures {
    my ($price, $present) = @_;

    return 0 if !defined $present->{image_out} || !defined $price->{output} || defined $price->{image_out};
    return !defined $present->{output}
        || $present->{output} ne $price->{output} && $present->{image_out} eq $price->{output};
}

# "input 1 -> 2" for each meter of the record that is not what the offer has.
sub differences {
    my ($pricing, $price, $record) = @_;
    my @differences = compare('', $pricing->{price}, $price);
    my %present = map { $_->{above} => $_ } @{$pricing->{tiers} // []};

    for my $tier (@{$record->{tiers} // []}) {
        my %meters = %{placed($tier, $present{$tier->{above}})};
        delete $meters{above};
        push @differences, compare("above $tier->{above} ", $present{$tier->{above}}, \%meters);
    }
    for my $mode (sort keys %{$record->{modes} // {}}) {
        my $present = ($pricing->{modes} // {})->{$mode};
        push @differences, compare("$mode ", $present, placed($record->{modes}{$mode}, $present));
    }
    return @differences;
}

sub compare {
    my ($what, $present, $meters) = @_;

    return map { "$what$_ " . ($present->{$_} // 'none') . " -> $meters->{$_}" }
        grep { ($present->{$_} // '') ne $meters->{$_} } sort keys %$meters;
}

sub agree {
    my ($self, $facts) = @_;

    $self->{report}{confirmed}++;
    file_under($facts, $self->{source}, 'agrees', 'differs');
    return;
}

sub conflict {
    my ($self, $title, $facts, @differences) = @_;

    $self->say_that(conflict => "$title: " . join(', ', @differences)
        . "; kept, from $facts->{source} of $facts->{as_of}");
    file_under($facts, $self->{source}, 'differs', 'agrees');
    return;
}

sub file_under {
    my ($facts, $source, $here, $not_there) = @_;
    my %not_there = map { $_ => 1 } @{$facts->{$not_there} // []};
    my @here = @{$facts->{$here} // []};

    delete $not_there{$source};
    push @here, $source if !grep { $_ eq $source } @here;
    put_list($facts, $here, @here);
    put_list($facts, $not_there, grep { $not_there{$_} } @{$facts->{$not_there} // []});
    return;
}

sub put_list {
    my ($facts, $name, @list) = @_;

    delete $facts->{$name};
    $facts->{$name} = \@list if @list;
    return;
}

# Anybody may tell a price that nobody knew.
sub may_overrule {
    my ($self, $offer) = @_;
    my $facts = $offer->{facts};

    return 1 if ($offer->{pricing}{unpriced} // '') eq 'unknown';
    return $self->{overrule} && $facts->{source} ne 'vendor-docs' && $facts->{as_of} le $self->{as_of};
}

# Sources that agreed with the old price differ from the new one; those that
# differed may or may not.
sub change {
    my ($self, $title, $offer, $price, $record, @differences) = @_;
    my ($pricing, $facts) = @$offer{qw(pricing facts)};
    my @stale = stale($pricing, $price, $record);
    my @no_more = $facts->{source} eq $self->{source} || !$pricing->{price} ? () : $facts->{source};

    $self->say_that(changed => "$title: " . join ', ', @differences);
    $self->say_that(by_hand => "$title: pricing." . join ', pricing.', @stale) if @stale;
    $pricing->{price} = {%{$pricing->{price} // {}}, %$price};
    delete @$pricing{qw(free unpriced)};
    put_tiers($pricing, $record);
    put_modes($pricing, $record);
    put_list($facts, differs => grep { $_ ne $self->{source} } @{$facts->{agrees} // []}, @no_more);
    delete $facts->{agrees};
    @$facts{qw(source as_of)} = @$self{qw(source as_of)};
    return;
}

# What hangs on a price that changes and is not in the data set: to be looked at.
sub stale {
    my ($pricing, $price, $record) = @_;
    my $present = $pricing->{price} // {};

    return if !grep { ($present->{$_} // '') ne ($price->{$_} // '') } qw(input output);
    return (map({ "price.$_" } grep { !defined $price->{$_} && !/^(?:web_search_1k|request)/ }
                sort keys %$present),
            ($pricing->{tiers} && !@{$record->{tiers} // []} ? 'tiers' : ()),
            map({ "modes.$_" } grep { !($record->{modes} // {})->{$_} } sort keys %{$pricing->{modes} // {}}),
            grep { $pricing->{$_} } qw(windows scheduled));
}

sub put_tiers {
    my ($pricing, $record) = @_;
    my @tiers = @{$record->{tiers} // []} or return;
    my %present = map { $_->{above} => $_ } @{$pricing->{tiers} // []};

    $present{$_->{above}} = {%{$present{$_->{above}} // {}}, %{placed($_, $present{$_->{above}})}} for @tiers;
    $pricing->{tiers} = [map { $present{$_} } sort { $a <=> $b } keys %present];
    return;
}

sub put_modes {
    my ($pricing, $record) = @_;

    for my $mode (keys %{$record->{modes} // {}}) {
        my $present = ($pricing->{modes} // {})->{$mode};
        $pricing->{modes}{$mode} = {%{$present // {}}, %{placed($record->{modes}{$mode}, $present)}};
    }
    return;
}

# Limits and status of this host, where they are not the model's.
sub limits {
    my ($self, $title, $model, $offer, $record) = @_;
    my $facts = $offer->{facts};
    my %at = (context_tokens => $facts, output_tokens => $offer);

    for my $limit (grep { defined $record->{$_} } sort keys %at) {
        my $present = $at{$limit}{$limit} // $model->{$limit} // 'none';
        next if $present eq $record->{$limit};
        $self->say_that(changed => "$title: $limit $present -> $record->{$limit}");
        delete $at{$limit}{$limit};
        $at{$limit}{$limit} = $record->{$limit} if $record->{$limit} ne ($model->{$limit} // '');
        $facts->{as_of} = $self->{as_of};
    }
    if (defined $record->{status} && !defined $facts->{status}) {
        $self->say_that(changed => "$title: status active -> $record->{status}");
        @$facts{qw(status as_of)} = ($record->{status}, $self->{as_of});
    }
    return;
}

# ---- an offer that we do not have -------------------------------------------

sub new_offer {
    my ($self, $record) = @_;
    my $name = $self->model_of($record->{id}) // $self->new_model($record) // return 0;

    my $model = $self->{models}{$name}{model};
    my $offer = {host => $record->{host}, pricing => pricing($model, $record), facts => {
        source => $self->{source}, as_of => $self->{as_of},
        ($record->{id} =~ $snapshot ? (snapshot => $1) : ()),
        ($record->{id} =~ /[:-]free$/ ? (variant => 'free') : ()),
        (defined $record->{status} ? (status => $record->{status}) : ()),
        own_limit($model, $record, 'context_tokens')}, own_limit($model, $record, 'output_tokens')};

    $offer->{id} = $record->{id} if $record->{id} ne $name;
    %$offer = (%$offer, $self->usual_formats($record->{host}, $model));
    push @{$model->{offers}}, $offer;
    $self->{touched}{$name} = 1;
    $self->index_name($record->{id}, $name);
    $self->say_that(new => title($name, $record->{host}, $record->{id}) . ': ' . in_short($offer->{pricing}));
    return 1;
}

# Where it is not the model's.
sub own_limit {
    my ($model, $record, $limit) = @_;

    return if !defined $record->{$limit} || $record->{$limit} eq ($model->{$limit} // '');
    return ($limit => $record->{$limit});
}

# As the host's other offers of this vendor's models have it, where they agree.
sub usual_formats {
    my ($self, $host, $model) = @_;
    my $known = $self->{formats}{$host}{$model->{owned_by}}{$model->{facts}{type}} // {};
    my ($formats, @more) = keys %$known;

    return if !length($formats // '') || @more;
    return (formats => [split / /, $formats]);
}

sub pricing {
    my ($model, $record) = @_;

    return $record->{id} =~ /[:-]free$/ ? {free => JSON::PP::true} : {unpriced => 'unknown'}
        if !has_price($record);
    my $present = $model->{owned_by} eq 'anthropic' ? {cache_write_5m => 1} : {};
    my $pricing = {price => placed($record->{price}, $present)};

    $pricing->{tiers} = [map { placed($_, $present) } @{$record->{tiers}}] if @{$record->{tiers} // []};
    $pricing->{modes} = {map { $_ => placed($record->{modes}{$_}, $present) } keys %{$record->{modes}}}
        if %{$record->{modes} // {}};
    return $pricing;
}

sub in_short {
    my ($pricing) = @_;
    my $price = $pricing->{price} or return $pricing->{free} ? 'free' : 'without a price';

    return join ', ', map { "$_ $price->{$_}" } sort keys %$price;
}

# A vendor's own host has a model that nobody has yet. Returns its name.
sub new_model {
    my ($self, $record) = @_;
    my ($made, $name) = ($record->{model}, $record->{id});
    my $host = $self->{hosts}{$record->{host}};
    my ($vendor) = $host->{facts}{kind} eq 'first-party' ? $self->vendor($record->{host}) : ();

    return if !$made || !$vendor || !$made->{released} || exists $self->{taken}{$name}
        || $name !~ /^[!#-&(-+\--?A-\[\]-~]{1,256}$/ || !defined $made->{name};
    my ($year, $month, $day) = split /-/, $made->{released};
    my $created = eval { timegm(0, 0, 0, $day // 1, $month - 1, $year) } or return;
    my %facts = (vendor => $self->vendor_name($vendor), family => $made->{family} // $name, status => 'active',
                 sources => [$self->{source}],
                 map { $_ => $made->{$_} } grep { defined $made->{$_} }
                     qw(type input output capabilities knowledge_cutoff released open_weights
                        max_input_tokens));
    my $model = {display_name => $made->{name}, owned_by => $vendor, created => $created, facts => \%facts,
                 offers => [], map { $_ => $made->{$_} } grep { defined $made->{$_} }
                     qw(context_tokens output_tokens reasoning_efforts)};
    my @refused = refused_fields($model);

    $model->{refuses} = \@refused if @refused;
    $model->{type} = $facts{type} if $facts{type} ne 'chat';
    $self->{tree}->put("models/$vendor.json", 'models', $name, $model);
    $self->{models}{$name} = {model => $model};
    $self->{taken}{$name} = $name;
    $self->say_that(new_model => "$name: $made->{name}, of $vendor");
    return $name;
}

# The one whose models the host has most of.
sub vendor {
    my ($self, $host) = @_;
    my $makers = $self->{makers}{$host} // {};
    my ($most) = sort { $makers->{$b} <=> $makers->{$a} || $a cmp $b } keys %$makers;

    return $most;
}

sub vendor_name {
    my ($self, $vendor) = @_;
    my ($model) = grep { $_->{owned_by} eq $vendor } map { $self->{models}{$_}{model} }
        sort keys %{$self->{models}};

    return $model->{facts}{vendor};
}

# ---- offers that are no longer there ----------------------------------------

# Only of hosts that the data set covers, and only its own.
sub vanished {
    my ($self, $seen) = @_;

    for my $host (sort grep { $self->{offers}{$_} } keys %$seen) {
        for my $id (sort grep { !$seen->{$host}{$_} } keys %{$self->{offers}{$host}}) {
            my ($name, $model, $offer) = @{$self->{offers}{$host}{$id}}{qw(name model offer)};
            next if $offer->{facts}{source} ne $self->{source} || $offer->{facts}{as_of} gt $self->{as_of};
            my $drop = $self->{drop_vanished} && @{$model->{offers}} > 1;
            $model->{offers} = [grep { $_ != $offer } @{$model->{offers}}] if $drop;
            $self->say_that(vanished => title($name, $host, $id) . ($drop ? ': dropped' : ': kept'));
        }
    }
    return;
}

1;
